// The form of faults: it follows what is in force until somebody changes it, and then waits to be applied.

const form = document.querySelector("#fault-form");
const state = document.querySelector("#fault-state");
const controls = [...form.querySelectorAll("[name]")];
const harmless = read();
let inForce = harmless;

export function showFaults(faults) {
  const isTouched = isDirty();
  inForce = faults;
  if (!isTouched) {
    resetFaults();
  }
  tell();
}

// Shows what is in force, whatever was typed.
export function resetFaults() {
  for (const control of controls) {
    const value = inForce[control.name];
    if (control.type === "checkbox") {
      control.checked = value;
    } else {
      control.value = value;
    }
  }
  tell();
}

export function onFaults(apply) {
  form.addEventListener("input", tell);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply(read());
  });
}

function read() {
  return Object.fromEntries(controls.map((control) => [control.name, valueOf(control)]));
}

function valueOf(control) {
  if (control.type === "checkbox") {
    return control.checked;
  }
  return control.type === "number" ? control.valueAsNumber : control.value;
}

function isDirty() {
  return controls.some((control) => valueOf(control) !== inForce[control.name]);
}

function tell() {
  const active = controls.filter((control) => inForce[control.name] !== harmless[control.name]);
  for (const control of controls) {
    control.closest("label").classList.toggle("active", active.includes(control));
  }
  const count = active.length === 1 ? "1 fault is in force." : `${active.length} faults are in force.`;
  const said = `${active.length ? count : "No fault is in force."}${isDirty() ? " Your changes are not applied yet." : ""}`;
  if (state.textContent !== said) {
    state.textContent = said;
  }
}
