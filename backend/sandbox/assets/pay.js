// Sends the shopper's answer. What came of it is shown by the server's page alone, so the page is asked for again.

const buttons = document.querySelectorAll("button[data-answer]");
const trouble = document.querySelector(".trouble");

for (const button of buttons) {
  button.addEventListener("click", () => send(button.dataset.answer));
}

async function send(answer) {
  trouble.textContent = "";
  enable(false);
  if (await isTaken(answer)) {
    location.reload();
    return;
  }
  trouble.textContent = "The payment server did not take your answer. Check your connection and try again.";
  enable(true);
}

// A conflict means that the order was answered, closed or expired meanwhile: the new page tells which.
async function isTaken(answer) {
  try {
    const response = await fetch(`${location.pathname}/${answer}`, { method: "POST" });
    return response.ok || response.status === 409;
  } catch {
    return false;
  }
}

function enable(isEnabled) {
  for (const button of buttons) {
    button.disabled = !isEnabled;
  }
}
