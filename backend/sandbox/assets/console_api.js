// The simulator's API under the key that the developer typed. The key lives in this tab and leaves it as a header alone.

const STORED = "sandbox-api-key";

export class KeyRefused extends Error {}

export function hasKey() {
  return sessionStorage.getItem(STORED) !== null;
}

export function keepKey(key) {
  sessionStorage.setItem(STORED, key);
}

export function forgetKey() {
  sessionStorage.removeItem(STORED);
}

// What the API answers; an Error that a person can read, with the problem's code, when it refuses or is not there.
export async function call(method, path, body) {
  const response = await answerTo(method, path, body);
  if (response.status === 401) {
    throw new KeyRefused("The API key was refused. Type it again.");
  }
  if (!response.ok) {
    throw await refusalOf(response);
  }
  return response.status === 204 ? null : response.json();
}

async function answerTo(method, path, body) {
  const headers = { authorization: `Bearer ${sessionStorage.getItem(STORED)}` };
  const content = body === undefined ? undefined : JSON.stringify(body);
  try {
    return await fetch(path, { method, headers, body: content, signal: AbortSignal.timeout(70_000) });
  } catch {
    throw new Error("The simulator gave no answer.");
  }
}

async function refusalOf(response) {
  try {
    const { code, detail } = await response.json();
    return Object.assign(new Error(detail), { code });
  } catch {
    return new Error("The answer of the simulator was cut off.");
  }
}
