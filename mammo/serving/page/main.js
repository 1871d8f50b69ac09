// The page: films are listed, asked about two at a time, and shown one at a time.

import * as api from "./api.js";
import { alarming, answer, factsOf, make, percent, scale, together, unlike } from "./answer.js";
import { Viewer } from "./film.js";
import { csv, png } from "./report.js";

const AT_ONCE = 2; // films that are asked about
const KEPT = 4; // films whose pixels are kept, so that a patient's four are shown at once
const FACTS = ["patient", "laterality", "view", "spacing_mm", "at"];
const $ = (id) => document.getElementById(id);

let model;
let films = [];
let chosen = null;
let working = 0;
let next = 1;
const groups = new Map(); // by patient: rows of breasts, exams and the patient
const pixels = new Map(); // by film: the promise of its levels, the last one used at the end
const viewer = new Viewer($("canvas"), shown);

function say(text) {
  $("said").textContent = text;
}

async function begin() {
  try {
    model = await api.model();
  } catch (error) {
    $("entry").hidden = error.status !== 401;
    if (error.status === 401) return $("token").focus();
    return document.body.append(make("p", { class: "refused", role: "alert" }, error.message));
  }
  $("entry").hidden = true;
  $("work").hidden = false;
  $("run").textContent = `· ${model.run}`;
  document.title = `mammo: ${model.run}`;
  $("try").hidden = !model.examples;
  $("marking").hidden = !model.detects;
  for (const one of document.querySelectorAll(".point")) one.hidden = !model.takes_point;
  $("facts-of-model").replaceChildren(factsOf(model));
  if (model.card) {
    const link = make("a", { href: "#", role: "button" }, "The model card");
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      window.open(await api.card(), "_blank", "noopener");
    });
    $("facts-of-model").prepend(make("p", {}, link));
  }
}

function add(files) {
  const most = model.limits.megabytes * 1e6;
  for (const { file, facts } of files) {
    const film = { id: next++, file, name: file.name, facts: { ...facts }, state: "waiting" };
    if (file.size > most) Object.assign(film, { state: "failed", error: `The file has ${(file.size / 1e6).toFixed(0)} MB; this service takes at most ${model.limits.megabytes}.` });
    films.push(film);
  }
  if (!chosen && films.length) choose(films[0]);
  listed();
  work();
}

// Ask about the films that wait; then about those of each patient together.
function work() {
  while (working < AT_ONCE) {
    const film = films.find((one) => one.state === "waiting");
    if (!film) break;
    working += 1;
    film.state = "at work";
    one(film).finally(() => {
      working -= 1;
      listed();
      work();
    });
  }
  listed();
  if (!working && films.length && !films.some((film) => film.state === "waiting")) unite();
}

async function one(film) {
  try {
    const answers = await api.predict([film], { force: film.force, at: film.facts.at });
    taken(film, answers, answers.predictions.filter((row) => row.unit === "image"));
  } catch (error) {
    Object.assign(film, { state: "failed", error: error.message });
  }
  say(`${film.name}: ${brief(film)}`);
  if (film === chosen) show(film);
}

function taken(film, answers, rows) {
  Object.assign(film, { state: "answered", answers, rows, error: null });
}

// Films of one patient give rows for breasts, exams and the patient; a detector compares both breasts.
async function unite() {
  const of = new Map();
  for (const film of films) {
    const row = film.rows?.[0];
    if (row?.status === "predicted" && row.patient) of.set(row.patient, [...(of.get(row.patient) || []), film]);
  }
  for (const patient of groups.keys()) if ((of.get(patient) || []).length < 2) groups.delete(patient);
  for (const [patient, some] of of) {
    const key = some.map((film) => `${film.id} ${JSON.stringify(film.facts)} ${film.force || ""}`).join();
    const size = some.reduce((sum, film) => sum + film.file.size, 0);
    if (some.length < 2 || groups.get(patient)?.key === key) continue;
    if (some.length > model.limits.films || size > model.limits.megabytes * 1e6) continue;
    groups.set(patient, { key, patient, rows: [] });
    const known = some.map((film) => ({ ...film, facts: { ...film.facts, patient, laterality: film.rows[0].laterality || "", view: film.rows[0].view || "", exam: film.rows[0].exam || "" } }));
    try {
      const answers = await api.predict(known, { force: some.some((film) => film.force) });
      const images = answers.predictions.filter((row) => row.unit === "image");
      const names = [...new Set(images.map((row) => row.path))];
      some.forEach((film, n) => {
        const rows = images.filter((row) => row.path === names[n]);
        if (films.includes(film) && rows.length) taken(film, answers, rows);
      });
      groups.get(patient).rows = answers.predictions.filter((row) => row.unit !== "image");
    } catch {
      groups.delete(patient); // each film keeps its own answer
    }
    if (chosen) outcome(chosen);
    listed();
  }
}

function brief(film) {
  if (film.state === "failed") return `no answer: ${film.error}`;
  if (film.state !== "answered") return film.state;
  const row = film.rows.at(-1);
  if (row.status !== "predicted") return unlike(row) ? "refused: unlike the training films" : `left out: ${row.reason.split(";")[0]}`;
  return `${row.called}${row.reason ? ", on demand" : ""}, ${percent(row.probabilities[model.positive || row.called])}`;
}

function listed() {
  const focused = document.activeElement?.dataset?.film;
  const items = films.map((film) => {
    const row = film.rows?.at(-1);
    const kind = row?.status === "predicted" ? (alarming(row, model) ? "alarm" : row.called === model.classes[0] ? "calm" : "") : film.state === "answered" || film.state === "failed" ? "alarm" : "";
    const known = [row?.patient, row?.laterality, row?.view].filter(Boolean).join(" · ");
    const said = row?.status === "predicted" && model.positive ? `${row.called}${row.reason ? ", on demand" : ""}` : brief(film);
    const more = row?.status === "predicted" && model.positive ? ` (${model.positive} ${percent(row.probabilities[model.positive])})` : "";
    const button = make("button", { type: "button", class: "film", "aria-current": film === chosen ? "true" : "false", "data-film": film.id }, make("strong", {}, film.name), make("span", {}, make("span", { class: `${kind} inline` }, said + more)), known ? make("span", {}, known) : "");
    button.addEventListener("click", () => choose(film));
    const away = make("button", { type: "button", class: "away", "aria-label": `Remove ${film.name}` }, "×");
    away.addEventListener("click", () => remove(film));
    return make("li", {}, button, away);
  });
  $("list").replaceChildren(...items);
  if (focused) $("list").querySelector(`[data-film="${focused}"]`)?.focus();
  const done = films.filter((film) => film.state === "answered" || film.state === "failed").length;
  $("progress").hidden = !films.length || done === films.length;
  $("bar").max = films.length || 1;
  $("bar").value = done;
  $("count").textContent = `${done} of ${films.length}`;
  $("many").hidden = !films.length;
}

function remove(film) {
  const at = films.indexOf(film);
  films = films.filter((one) => one !== film);
  pixels.delete(film.id);
  if (film === chosen) choose(films[Math.min(at, films.length - 1)] || null);
  listed();
  work();
}

function choose(film) {
  chosen = film;
  for (const id of ["answer", "viewer"]) $(id).hidden = !film;
  viewer.show(null);
  stopPicking();
  if (film) show(film);
  listed();
}

function outcome(film) {
  const { activeElement } = document;
  const row = film.rows?.[0];
  const known = [row?.patient && `patient ${row.patient}`, row?.laterality, row?.view].filter(Boolean).join(", ");
  $("name").replaceChildren(film.name, make("span", { class: "faint" }, known && ` ${known}`));
  const force = () => {
    film.force = true;
    film.state = "waiting";
    work();
  };
  $("outcome").replaceChildren(...answer(film, model, force));
  $("together").replaceChildren(...together(groups.get(row?.patient), model));
  if (activeElement && !activeElement.isConnected) $("answer").querySelector("h2").scrollIntoView({ block: "nearest" });
}

async function show(film) {
  outcome(film);
  const row = film.rows?.[0];
  for (const fact of FACTS) $(fact).value = film.facts[fact] || row?.[fact] || "";
  $("scale").replaceChildren();
  $("over").hidden = true;
  $("canvas").setAttribute("aria-label", `Film ${film.name}`);
  $("png").disabled = true;
  const unreadable = film.state === "failed" || Boolean(row && row.status !== "predicted" && !unlike(row));
  $("viewer").classList.toggle("empty", unreadable);
  if (unreadable) return wait("This file cannot be shown.", film);
  try {
    wait("Reading the film", film);
    const levels = await levelsOf(film);
    if (film !== chosen) return;
    if (viewer.film !== levels) viewer.show(levels);
    wait("", film);
    viewer.marks = row?.marks || [];
    viewer.point = film.facts.at ? film.facts.at.split(",").map(Number) : null;
    $("png").disabled = film.state !== "answered";
  } catch (error) {
    if (film === chosen) $("viewer").classList.add("empty");
    return wait(`The film cannot be shown: ${error.message}`, film);
  }
  if (row?.status !== "predicted" || !model.map) return viewer.setMap(null);
  try {
    const known = JSON.stringify(film.facts);
    if (film.mapFor !== known) {
      wait("Making the map", film);
      const asked = { ...film, facts: { ...film.facts, laterality: film.facts.laterality || row.laterality || "" } };
      film.map = await api.explain(asked);
      film.mapFor = known;
    }
  } catch (error) {
    film.map = { error: error.message };
  }
  if (film !== chosen) return;
  wait("", film);
  viewer.setMap(film.map.error ? null : film.map);
  $("over").hidden = Boolean(film.map.error || film.map.empty);
  $("scale").replaceChildren(...scale(film.map));
}

function levelsOf(film) {
  const found = pixels.get(film.id) || api.levels(film);
  pixels.delete(film.id);
  pixels.set(film.id, found);
  found.catch(() => pixels.delete(film.id));
  if (pixels.size > KEPT) pixels.delete(pixels.keys().next().value);
  return found;
}

function wait(text, film) {
  if (film !== chosen) return;
  $("waiting").textContent = text;
  $("waiting").hidden = !text;
}

// Show the state of the viewer in its controls.
function shown(view) {
  $("centre").value = 1000 * (1 - view.centre);
  $("width").value = 1000 * (1 - view.width);
  const ratio = window.devicePixelRatio || 1;
  $("zoomed").textContent = view.film && view.scale ? `${Math.round((100 * view.scale) / ratio)} %` : "";
}

function stopPicking() {
  viewer.picking = null;
  $("pick").setAttribute("aria-pressed", "false");
  $("stage").classList.remove("picking");
}

$("entry").addEventListener("submit", async (event) => {
  event.preventDefault();
  api.keepToken($("token").value.trim());
  $("entry-error").textContent = "";
  await begin();
  if (!model) $("entry-error").textContent = "This is not the token.";
});
$("files").addEventListener("change", () => {
  add([...$("files").files].map((file) => ({ file, facts: {} })));
  $("files").value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && model) add([...event.dataTransfer.files].map((file) => ({ file, facts: {} })));
  });
}
$("examples").addEventListener("click", async () => {
  $("examples").disabled = true;
  try {
    const found = [];
    for (let number = 1; number <= model.examples; number++) found.push(await api.example(number));
    add(found);
  } catch (error) {
    say(error.message);
  }
  $("examples").disabled = false;
});
$("facts").addEventListener("submit", (event) => {
  event.preventDefault();
  for (const fact of FACTS) chosen.facts[fact] = $(fact).value.trim();
  chosen.state = "waiting";
  stopPicking();
  work();
});
$("pick").addEventListener("click", () => {
  if (viewer.picking) return stopPicking();
  $("pick").setAttribute("aria-pressed", "true");
  $("stage").classList.add("picking");
  viewer.picking = (x, y) => {
    $("at").value = `${x},${y}`;
    viewer.point = [x, y];
    viewer.draw();
    stopPicking();
    $("again").focus();
  };
});
$("clear").addEventListener("click", () => {
  films = [];
  pixels.clear();
  groups.clear();
  choose(null);
  listed();
  $("films").focus();
});
$("table").addEventListener("click", () => {
  const rows = films.flatMap((film) => film.rows || [{ unit: "image", status: "left_out", reason: film.error || film.state, path: film.name, probabilities: {}, notes: [] }]);
  csv([...rows, ...[...groups.values()].flatMap((group) => group.rows)], model);
});
$("png").addEventListener("click", () => png(chosen, viewer, model, groups.get(chosen.rows?.[0]?.patient)));
$("print").addEventListener("click", () => window.print());
$("in").addEventListener("click", () => viewer.zoom(1.25));
$("out").addEventListener("click", () => viewer.zoom(0.8));
$("fit").addEventListener("click", () => viewer.fit());
$("one").addEventListener("click", () => viewer.zoom((window.devicePixelRatio || 1) / viewer.scale));
$("window").addEventListener("click", () => viewer.reset());
for (const id of ["centre", "width"]) $(id).addEventListener("input", () => viewer.window(1 - $("centre").value / 1000, 1 - $("width").value / 1000));
$("opacity").addEventListener("input", () => {
  viewer.opacity = $("opacity").value / 100;
  $("share").textContent = `${$("opacity").value} %`;
  viewer.draw();
});
$("marks").addEventListener("change", () => {
  viewer.showMarks = $("marks").checked;
  viewer.draw();
});
begin();
