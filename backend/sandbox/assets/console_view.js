// What the console shows of orders and webhooks. Texts become text nodes alone: nothing told by others is read as HTML.

const rupees = new Intl.NumberFormat("en-IN", { style: "currency", currency: "INR" });
const clock = new Intl.DateTimeFormat("en-IN", { timeStyle: "medium" });

const TONES = {
  good: ["paid", "captured", "processed", "delivered"],
  warn: ["attempted", "authorized", "pending", "waiting", "held"],
  bad: ["failed", "given_up", "never_sent"],
};

// Makes the list show `items`, each under its id; what did not change is left alone, so focus and typing survive.
export function show(list, items, build) {
  const shown = new Map([...list.children].map((row) => [row.dataset.id, row]));
  items.forEach((item, place) => {
    const version = JSON.stringify(item);
    let row = shown.get(item.id);
    if (row?.dataset.version !== version) {
      const fresh = element("li", {}, build(item));
      fresh.dataset.id = item.id;
      fresh.dataset.version = version;
      row = row ? exchanged(row, fresh) : fresh;
    }
    if (list.children[place] !== row) {
      list.insertBefore(row, list.children[place] ?? null);
    }
  });
  while (list.children.length > items.length) {
    list.lastElementChild.remove();
  }
}

function exchanged(row, fresh) {
  const focused = row.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  for (const details of row.querySelectorAll("details[open]")) {
    fresh.querySelector(`details[data-key="${details.dataset.key}"]`)?.setAttribute("open", "");
  }
  row.replaceWith(fresh);
  if (focused) {
    (fresh.querySelector(`[data-key="${focused}"]`) ?? fresh.querySelector("h3")).focus();
  }
  return fresh;
}

export function orderCard({ order, isChosen }, act) {
  const isOpen = ["created", "attempted"].includes(order.status);
  const name = order.reference;
  const mayPay = order.status !== "paid" && !order.payments.some((payment) => payment.status === "authorized");
  const buttons = [
    mayPay && button("Approve", name, () => act.approve(order), isOpen ? "" : "quiet"),
    mayPay && button("Decline", name, () => act.decline(order), "quiet"),
    isOpen && button("Expire", name, () => act.expire(order), "quiet"),
    isOpen && button("Close", name, () => act.close(order), "quiet"),
  ].filter(Boolean);
  const choose = button("Only this order", name, () => act.choose(order), "quiet");
  choose.setAttribute("aria-pressed", isChosen);
  const page = element("a", { href: `pay/${order.order_id}`, target: "_blank", rel: "noopener" }, "Pay page");
  page.append(element("span", { className: "unseen" }, ` of ${name}, in a new tab`));
  return [
    title(name, order.status),
    element("p", { className: "sum" }, rupees.format(order.amount_minor / 100)),
    order.note && element("p", {}, order.note),
    element("p", { className: "id" }, order.order_id),
    ...order.payments.map((payment) => paymentRow(payment, order, act)),
    ...order.refunds.map((refund) => refundRow(refund, act)),
    buttons.length > 0 && element("div", { className: "actions" }, buttons),
    element("div", { className: "actions" }, [choose, page]),
  ];
}

function paymentRow(payment, order, act) {
  const id = payment.payment_id;
  const settle = (status) => () => act.settlePayment(payment, status);
  const buttons = {
    authorized: [
      button("Capture", id, settle("captured")),
      button("Fail", id, settle("failed"), "quiet"),
    ],
    failed: [button("Capture after all", id, settle("captured"), "quiet")],
    captured: [refundForm(payment, order, act)],
  }[payment.status];
  return element("div", { className: "part" }, [
    element("p", {}, ["Payment ", chip(payment.status), ` ${clock.format(new Date(payment.created_at))}, ${payment.vpa}`]),
    element("p", { className: "id" }, id),
    element("div", { className: "actions" }, buttons),
  ]);
}

function refundForm(payment, order, act) {
  const id = payment.payment_id;
  const left = leftOf(payment, order);
  if (left === 0) {
    return element("span", { className: "hint" }, "Given back wholly");
  }
  const amount = element("input", {
    type: "number", min: "0.01", max: String(left / 100), step: "0.01", value: String(left / 100), required: true,
  });
  amount.dataset.key = `amount ${id}`;
  const label = element("label", {}, ["Give back, in ₹", element("span", { className: "unseen" }, ` of ${id}`), amount]);
  const form = element("form", { className: "refund" }, [label, button("Refund", id, null, "quiet")]);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act.refund(payment, Math.round(amount.valueAsNumber * 100));
  });
  return form;
}

function leftOf(payment, order) {
  const given = order.refunds.filter((one) => one.payment_id === payment.payment_id && one.status !== "failed");
  return given.reduce((left, one) => left - one.amount_minor, payment.amount_minor);
}

function refundRow(refund, act) {
  const id = refund.refund_id;
  const settle = (status) => () => act.settleRefund(refund, status);
  const buttons = refund.status === "pending" && element("div", { className: "actions" }, [
    button("Process", id, settle("processed")),
    button("Fail", id, settle("failed"), "quiet"),
  ]);
  return element("div", { className: "part" }, [
    element("p", {}, ["Refund ", chip(refund.status), ` ${rupees.format(refund.amount_minor / 100)}, ${refund.reference}`]),
    element("p", { className: "id" }, id),
    buttons,
  ]);
}

export function webhookCard({ webhook }, act) {
  const { id, event, reference, state, tries } = webhook;
  const details = element("details", {}, [
    element("summary", {}, tries.length === 1 ? "1 try" : `${tries.length} tries`),
    element("ol", {}, tries.map(tryRow)),
  ]);
  details.dataset.key = `tries ${id}`;
  return [
    title(event, state),
    element("p", {}, `${reference}, ${clock.format(new Date(webhook.created_at))}`),
    element("p", { className: "id" }, id),
    tries.length > 0 && details,
    element("div", { className: "actions" }, [button("Send again", `${event} ${id}`, () => act.resend(webhook), "quiet")]),
  ];
}

function tryRow(one) {
  const result = one.failure ?? `status ${one.status}`;
  const body = element("pre", { tabIndex: 0 }, JSON.stringify(one.body, null, 2));
  body.setAttribute("aria-label", "Body as it was sent");
  return element("li", {}, [
    element("p", {}, `${clock.format(new Date(one.at))}: ${result}`),
    element("p", { className: "hint" }, `Timestamp ${one.timestamp}, ${one.signed} secret, ${one.wrong} wrong`),
    body,
  ]);
}

function title(text, status) {
  return element("div", { className: "title" }, [element("h3", { tabIndex: -1 }, text), chip(status)]);
}

function chip(status) {
  const tone = Object.keys(TONES).find((name) => TONES[name].includes(status)) ?? "idle";
  return element("span", { className: `chip ${tone}` }, status.replace("_", " "));
}

// A button for what `name` says; its key finds the focus again when the row is made anew. Without `act` it submits.
function button(text, name, act, className = "") {
  const made = element("button", { type: act ? "button" : "submit", className }, text);
  made.dataset.key = `${text} ${name}`;
  made.setAttribute("aria-label", `${text} ${name}`);
  if (act) {
    made.addEventListener("click", act);
  }
  return made;
}

function element(tag, properties, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...[children].flat().filter(Boolean));
  return made;
}
