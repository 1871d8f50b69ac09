// The service as this page asks it. Each error is an Error whose message is the service's own sentence.

const KEPT = "mammo token";
const TRIES = 20; // of a request that is told to come again

function token() {
  const said = new URLSearchParams(location.hash.slice(1)).get("token");
  if (said) {
    sessionStorage.setItem(KEPT, said);
    history.replaceState(null, "", location.pathname); // so that no bookmark holds it
  }
  return sessionStorage.getItem(KEPT);
}

export function keepToken(word) {
  sessionStorage.setItem(KEPT, word);
}

export class Answered extends Error {
  constructor(status, said, body) {
    super(said);
    this.status = status;
    this.body = body;
  }
}

async function ask(path, options = {}) {
  const word = token();
  const headers = { Accept: "application/json", ...(word ? { Authorization: `Bearer ${word}` } : {}) };
  for (let left = TRIES; ; left--) {
    let reply;
    try {
      reply = await fetch(path, { ...options, headers });
    } catch {
      throw new Answered(0, "The service does not answer. It may have been stopped.");
    }
    if ((reply.status === 429 || reply.status === 503) && left > 0 && reply.headers.has("Retry-After")) {
      await new Promise((go) => setTimeout(go, 1000 * Math.min(Number(reply.headers.get("Retry-After")) || 1, 10)));
      continue;
    }
    if (reply.ok) return reply;
    const body = await reply.json().catch(() => ({}));
    throw new Answered(reply.status, body.error || `The service answers with status ${reply.status}.`, body);
  }
}

// A form of films with what is known of each.
function form(films, more = {}) {
  const sent = new FormData();
  for (const film of films) sent.append("films", film.file, film.name);
  for (const fact of ["patient", "exam", "laterality", "view", "spacing_mm"]) {
    if (films.some((film) => film.facts[fact])) for (const film of films) sent.append(fact, film.facts[fact] || "");
  }
  for (const [key, value] of Object.entries(more)) if (value) sent.append(key, value);
  return { method: "POST", body: sent };
}

export const model = async () => (await ask("/model")).json();

export async function example(number) {
  const reply = await ask(`/examples/${number}`);
  const told = (name) => reply.headers.get(`film-${name}`) || "";
  const name = /filename="([^"]*)"/.exec(reply.headers.get("Content-Disposition") || "")?.[1] || `drawn ${number}`;
  const facts = { patient: told("patient"), laterality: told("laterality"), view: told("view"), spacing_mm: told("spacing-mm") };
  return { file: new File([await reply.blob()], name), facts };
}

// The answers for films, also where none could be predicted.
export async function predict(films, { force = false, at = "" } = {}) {
  try {
    return await (await ask("/predict", form(films, { force: force ? "1" : "", at }))).json();
  } catch (error) {
    if (error.body?.predictions) return error.body;
    throw error;
  }
}

export async function explain(film) {
  const found = await (await ask("/explain", form([film], { at: film.facts.at }))).json();
  return { ...found, shares: Uint8Array.from(atob(found.shares), (letter) => letter.charCodeAt(0)) };
}

export async function levels(film) {
  const reply = await ask("/film", form([{ ...film, facts: {} }]));
  const told = (name) => Number(reply.headers.get(`film-${name}`));
  const content = await reply.arrayBuffer();
  const data = told("bytes") === 2 ? new Uint16Array(content) : new Uint8Array(content);
  return { data, height: told("height"), width: told("width"), white: told("white") };
}

export async function card() {
  const page = await (await ask("/model/card")).blob();
  return URL.createObjectURL(page);
}
