// The console: asks the simulator every second what there is, shows it, and sends what the developer decides.

import { KeyRefused, call, forgetKey, hasKey, keepKey } from "./console_api.js";
import { onFaults, resetFaults, showFaults } from "./console_faults.js";
import { orderCard, show, webhookCard } from "./console_view.js";

const LOOK_EVERY_MS = 1000;
const LISTED = 50;
const DEMO_LASTS_MS = 10 * 60_000;
const TOLD_FOR_MS = 8000;

const at = (id) => document.getElementById(id);
let chosen = null;
let looks = 0;
let fading;

const act = {
  approve: (order) => does(`${order.reference} was approved.`, "POST", `pay/${order.order_id}/approve`),
  decline: (order) => does(`${order.reference} was declined.`, "POST", `pay/${order.order_id}/decline`),
  expire: (order) => does(`${order.reference} is expired.`, "POST", `v1/orders/${order.order_id}/expire`),
  close: (order) => does(`${order.reference} is closed.`, "POST", `v1/orders/${order.order_id}/close`),
  settlePayment: ({ payment_id: id }, status) => does(`The payment is ${status}.`, "POST", `v1/payments/${id}/settle`, { status }),
  settleRefund: ({ refund_id: id }, status) => does(`The refund is ${status}.`, "POST", `v1/refunds/${id}/settle`, { status }),
  refund: ({ payment_id: id }, amount) => does("The refund was made.", "POST", `v1/payments/${id}/refunds`, {
    reference: `console-${random()}`, amount_minor: amount,
  }),
  resend: ({ id, event }) => does(`${event} is sent again.`, "POST", `v1/webhooks/${id}/resend`),
  choose: (order) => choose(order.order_id === chosen?.order_id ? null : order),
};

function random() {
  return crypto.getRandomValues(new Uint32Array(1))[0].toString().padStart(10, "0");
}

function choose(order) {
  chosen = order;
  at("webhooks-title").textContent = order ? `Webhooks of ${order.reference}` : "Webhooks";
  at("faults-title").textContent = order ? `Faults of ${order.reference}` : "Faults";
  at("faults-scope").textContent = order
    ? "This order's own faults win over those of all orders."
    : "For every order without faults of its own.";
  at("all-orders").hidden = at("follow").hidden = !order;
  resetFaults();
  look();
}

function faultPath() {
  return chosen ? `v1/orders/${chosen.order_id}/faults` : "v1/faults";
}

// Sends one decision; whether it was taken.
async function does(done, ...request) {
  say("", "");
  let isDone = false;
  try {
    await call(...request);
    say(done, "");
    isDone = true;
  } catch (error) {
    complain(error, "decision");
  }
  await look();
  return isDone;
}

// Shows what there is now; of two looks under way the later one counts.
async function look() {
  if (!hasKey()) {
    return;
  }
  const mine = ++looks;
  const path = faultPath();
  const webhooksOf = chosen ? `&order_id=${chosen.order_id}` : "";
  try {
    const [{ orders }, { webhooks }, faults] = await Promise.all([
      call("GET", `v1/orders?limit=${LISTED}`),
      call("GET", `v1/webhooks?limit=${LISTED}${webhooksOf}`),
      call("GET", path),
    ]);
    if (mine === looks) {
      draw(orders, webhooks, faults);
    }
  } catch (error) {
    if (mine === looks) {
      complain(error, "look");
    }
  }
}

function draw(orders, webhooks, faults) {
  show(at("order-list"), orders.map((order) => ({
    id: order.order_id, order, isChosen: order.order_id === chosen?.order_id,
  })), (row) => orderCard(row, act));
  show(at("webhook-list"), webhooks.map((webhook) => ({ id: webhook.id, webhook })), (row) => webhookCard(row, act));
  showFaults(faults);
  at("no-orders").hidden = orders.length > 0;
  at("no-webhooks").hidden = webhooks.length > 0;
  at("release").disabled = !webhooks.some((webhook) => webhook.state === "held");
  at("console").dataset.drawn = "yes";
  if (at("trouble").dataset.of === "look") {
    say("The simulator answers again.", "");
  }
}

// Says what happened; the same words are not said again, as they are read aloud each time.
function say(told, trouble, of = "decision") {
  for (const [id, text] of [["told", told], ["trouble", trouble]]) {
    if (at(id).textContent !== text) {
      at(id).textContent = text;
    }
  }
  at("trouble").dataset.of = of;
  clearTimeout(fading);
  fading = setTimeout(() => at("told").replaceChildren(), TOLD_FOR_MS);
}

function complain(error, of) {
  if (error instanceof KeyRefused) {
    lock();
  } else if (error.code === "order_not_found" && chosen) {
    choose(null);
  }
  say("", error.message, of);
}

function open() {
  at("unlock").hidden = true;
  at("console").hidden = at("sections").hidden = at("lock").hidden = false;
  choose(null);
  at("orders-title").focus();
}

function lock() {
  forgetKey();
  at("unlock").hidden = false;
  at("console").hidden = at("sections").hidden = at("lock").hidden = true;
  for (const list of ["order-list", "webhook-list"]) {
    at(list).replaceChildren();
  }
  at("key").focus();
}

at("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  say("", "");
  keepKey(at("key").value.trim());
  at("key").value = "";
  open();
});
at("lock").addEventListener("click", () => {
  lock();
  say("The key is forgotten.", "");
});
at("demo").addEventListener("click", () => does("A demo order was made.", "POST", "v1/orders", {
  reference: `demo-${random()}`,
  amount_minor: 12345,
  currency: "INR",
  note: "Demo order, made in the console",
  expires_at: new Date(Date.now() + DEMO_LASTS_MS).toISOString(),
}));
at("release").addEventListener("click", () => does("What was held is on its way.", "POST", "v1/webhooks/release"));
at("all-orders").addEventListener("click", () => {
  choose(null);
  at("faults-title").focus();
});
at("heal").addEventListener("click", () => setFaults("No fault is in force.", "PUT", {}));
at("follow").addEventListener("click", () => setFaults("The order has the faults of all orders.", "DELETE"));
onFaults((faults) => setFaults("The faults are in force.", "PUT", faults));

async function setFaults(done, method, faults) {
  if (await does(done, method, faultPath(), faults)) {
    resetFaults();
  }
}

async function watch() {
  if (!document.hidden) {
    await look();
  }
  setTimeout(watch, LOOK_EVERY_MS);
}

// Narrow screens show one section at a time: the one that the address names, or the first.
function markSection() {
  for (const link of at("sections").children) {
    if (link.hash === (location.hash || "#orders")) {
      link.setAttribute("aria-current", "true");
    } else {
      link.removeAttribute("aria-current");
    }
  }
}

window.addEventListener("hashchange", markSection);
markSection();
if (hasKey()) {
  open();
} else {
  lock();
}
watch();
