// The answer in words and drawings. All text is set as text, so that no name of a file becomes part of the page.

import { MARKS_SHOWN, hot } from "./film.js";

const SVG = "http://www.w3.org/2000/svg";

export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) made.setAttribute(key, value);
  made.append(...children.filter((one) => one !== null && one !== undefined && one !== ""));
  return made;
}

function draw(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const number = (value, digits = 3) => (value === null || value === undefined ? "not known" : Number(value.toPrecision(digits)).toString());
export const percent = (value) => `${(100 * value).toFixed(value > 0.1 && value < 0.9 ? 0 : 1)}\u00a0%`;
export const interval = (value) =>
  value?.value === null || !value ? "not known" : `${value.value.toFixed(2)} (${value.low?.toFixed(2)} to ${value.high?.toFixed(2)})`;
export const alarming = (row, model) => model.positive !== null && row.called === model.positive;
export const unlike = (row) => (row.reason || "").startsWith("unlike");

export function pointOf(answers, row) {
  return answers.operating.find((one) => one.head === row.head && one.unit === row.unit);
}

// Sentences that say how a row was decided.
export function decided(row, point, model) {
  if (row.score === null || row.threshold === null) {
    return [row.score === null ? "The most probable class is called." : "No threshold holds here, so the most probable class is called."];
  }
  const above = row.score > row.threshold ? "above" : "not above";
  const on = point.chosen_on === "val" ? "the validation films" : point.chosen_on === "films" ? "films that recalibrated it" : "the test films, which is a leak";
  const many = point.counts?.patients ? `, ${point.counts.samples} samples of ${point.counts.patients} patients` : "";
  return [
    `The score ${number(row.score)} is ${above} the threshold ${number(row.threshold)}.`,
    `On ${on}${many}, this threshold had a sensitivity of ${interval(point.sensitivity)} and a specificity of ${interval(point.specificity)}; in brackets are intervals of 95 %.`,
    point.temperature === null ? "The probabilities are not calibrated." : `The probabilities are calibrated for ${on}; where ${model.positive} is rarer, they are too high.`,
  ];
}

function shares(row, model) {
  const made = make("div", { class: "shares" });
  for (const name of model.classes) {
    const value = row.probabilities[name];
    const bar = draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", height: 10, "aria-hidden": "true" });
    bar.append(draw("rect", { class: "track", width: 100, height: 10 }), draw("rect", { class: "filled", width: 100 * value, height: 10 }));
    made.append(make("span", {}, name), bar, make("span", {}, percent(value)));
  }
  return made;
}

function axis(row) {
  if (row.score === null || row.threshold === null) return null;
  const reach = 1.3 * Math.max(Math.abs(row.score - row.threshold), Math.abs(row.threshold) / 2, 0.5);
  const at = (value) => 160 + (140 * (value - row.threshold)) / reach;
  const text = (x, y, said, anchor, quiet) => {
    const made = draw("text", { x, y, "text-anchor": anchor, ...(quiet ? { class: "quiet" } : {}) });
    made.textContent = said;
    return made;
  };
  const x = at(row.score);
  const picture = draw(
    "svg",
    { viewBox: "0 0 320 66", role: "img", "aria-label": `score ${number(row.score)}, threshold ${number(row.threshold)}` },
    draw("rect", { class: "track", x: 20, y: 28, width: 280, height: 8, rx: 4 }),
    draw("line", { class: "limit", x1: 160, x2: 160, y1: 21, y2: 43 }),
    draw("path", { class: "needle", d: `M${x} 30 l-6 -10 h12 z` }),
    text(Math.min(Math.max(x, 50), 270), 14, `score ${number(row.score)}`, "middle"),
    text(160, 58, `threshold ${number(row.threshold)}`, "middle"),
    text(20, 58, number(row.threshold - reach, 2), "start", true),
    text(300, 58, number(row.threshold + reach, 2), "end", true),
  );
  return make("div", { class: "axis" }, picture);
}

function list(lines) {
  return make("ul", { class: "notes" }, ...lines.map((line) => make("li", {}, line)));
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;
}

export function numberOf(count, thing) {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}

// The answer for a film; `force` is called to answer in spite of a refusal.
export function answer(film, model, force) {
  if (film.state === "failed") return [make("div", { class: "refused" }, make("p", {}, make("strong", {}, "No answer. ")), make("p", {}, film.error))];
  if (!film.answers) return [make("p", { class: "faint" }, film.state === "at work" ? "The service is at work." : "Waiting.")];
  const [row] = film.rows;
  if (row.status !== "predicted") {
    const made = make("div", { class: "refused" }, make("p", {}, make("strong", {}, unlike(row) ? "Refused: this film is unlike those that the model knows." : "This file cannot be answered.")), make("p", {}, sentence(row.reason)));
    if (unlike(row)) {
      const button = make("button", { type: "button" }, "Answer all the same");
      button.addEventListener("click", force);
      made.append(make("p", {}, "Nobody has measured what the model makes of such a film."), make("p", {}, button));
    }
    return [made];
  }
  const parts = [];
  if (row.reason) parts.push(make("div", { class: "refused" }, make("p", {}, `Answered on demand: ${row.reason}.`)));
  for (const one of film.rows) {
    const kind = alarming(one, model) ? "alarm" : one.called === model.classes[0] ? "calm" : "";
    if (film.rows.length > 1) parts.push(make("h3", {}, one.head === "detector_partner" ? "With the film of the other breast" : "This film alone"));
    const lines = decided(one, pointOf(film.answers, one) || {}, model);
    parts.push(make("p", { class: `called ${kind}` }, `Called ${one.called}`), shares(one, model), axis(one), make("p", {}, lines[0]));
    if (lines.length > 1) parts.push(list(lines.slice(1)));
  }
  parts.push(make("h3", {}, "What was assumed"));
  const notes = [...new Set([...film.rows.flatMap((one) => one.notes), ...film.answers.notes])];
  parts.push(notes.length ? list(notes) : make("p", { class: "faint" }, "Nothing: the file and its sender say all that is needed."));
  if (row.marks?.length) parts.push(marked(row.marks));
  return parts.filter(Boolean);
}

function marked(marks) {
  const cells = (one, n) => [n + 1, Math.round(one.x_px), Math.round(one.y_px), number(one.score)].map((value) => make("td", {}, String(value)));
  const rows = marks.slice(0, MARKS_SHOWN).map((one, n) => make("tr", {}, ...cells(one, n)));
  const head = make("tr", {}, ...["Mark", "x in pixels", "y in pixels", "Score"].map((name) => make("th", { scope: "col" }, name)));
  const said = `The ${rows.length} hottest of ${numberOf(marks.length, "mark")}`;
  return make("div", { class: "scroll" }, make("table", {}, make("caption", {}, said), make("thead", {}, head), make("tbody", {}, ...rows)));
}

// The rows of breasts, exams and the patient, of films that were answered together.
export function together(group, model) {
  if (!group?.rows.length) return [];
  const names = ["Unit", "Called", "Score", "Threshold"];
  const head = make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)));
  const rowOf = (row) => {
    const who = row.unit === "breast" ? `${row.laterality} breast` : row.unit;
    const likely = `${model.positive ? `${model.positive} ` : ""}${percent(row.probabilities[model.positive || row.called])}`;
    const values = [number(row.score), row.threshold === null ? "none" : number(row.threshold)];
    const named = make("th", { scope: "row" }, who, make("small", {}, numberOf(row.films, "film")));
    return make("tr", {}, named, make("td", {}, row.called, make("small", {}, likely)), ...values.map((value) => make("td", {}, String(value))));
  };
  const heads = [...new Set(group.rows.map((row) => row.head))];
  const bodies = heads.map((name) => {
    const said = name === "detector_partner" ? "Both breasts compared" : "Each film alone";
    const title = heads.length > 1 ? [make("tr", {}, make("th", { scope: "rowgroup", colspan: 4 }, said))] : [];
    return make("tbody", {}, ...title, ...group.rows.filter((row) => row.head === name).map(rowOf));
  });
  const table = make("table", {}, make("caption", {}, `Patient ${group.patient}`), make("thead", {}, head), ...bodies);
  const decides = make("p", { class: "faint" }, "What is called follows the score and its threshold, not the probability.");
  const told = group.rows.some((row) => row.threshold !== null) ? [decides] : [];
  return [make("h3", {}, "All films of this patient together"), make("div", { class: "scroll" }, table), ...told];
}

// The scale of the map's colours.
export function scale(map) {
  if (!map) return [];
  if (map.error) return [make("p", { class: "faint" }, `There is no map: ${map.error}`)];
  if (map.empty) return [make("p", {}, `The map is empty: no place speaks for ${map.of}.`)];
  const stops = [...Array(9).keys()].map((n) => draw("stop", { offset: n / 8, "stop-color": `rgb(${hot(n / 8)})` }));
  const bar = draw("svg", { viewBox: "0 0 100 4", preserveAspectRatio: "none", height: 10, width: "100%", role: "img", "aria-label": `the scale of the map, 0 to ${number(map.largest)}` });
  bar.append(draw("defs", {}, draw("linearGradient", { id: "hot" }, ...stops)), draw("rect", { width: 100, height: 4, fill: "url(#hot)" }));
  const said = `The map shows what speaks for ${map.of}, by the head ${map.head}, from 0 to ${number(map.largest)}: ${map.said}. The cross is its hottest place. A cell is ${number(map.cell_px, 2)} pixels wide.`;
  return [bar, make("p", { class: "faint" }, [said, ...map.notes.map(sentence)].join(" "))];
}

export function factsOf(model) {
  const part = (name) => model.splits?.[name] && `${numberOf(model.splits[name].images, "image")} of ${numberOf(model.splits[name].patients, "patient")}`;
  const tested = model.tested || {};
  const facts = [
    ["Run", model.run],
    ["Task", `${model.task}: ${model.classes.join(" or ")}`],
    ["Network, head", `${model.network}, ${model.head}`],
    ["Trained on", [model.dataset, part("train")].filter(Boolean).join(", ")],
    ["Validated on", part("val")],
    ["Tested on", part("test")],
    ["AUROC in the test", tested.auroc && interval(tested.auroc)],
    ["Sensitivity, specificity in the test", tested.sensitivity_at_threshold && `${interval(tested.sensitivity_at_threshold)}, ${interval(tested.specificity_at_threshold)}`],
    ["Threshold", model.operating_said],
    ["Known leaks", model.leaks === null ? null : model.leaks.join("; ") || "none"],
    ["Films unlike its own", model.refuses_unlike ? "are refused" : "cannot be told, so none is refused"],
    ["Side of a pixel", model.spacing_mm && `${model.spacing_mm} mm is assumed where a film does not say it`],
    ["Version", model.version],
  ].filter(([, value]) => value);
  return make("dl", { class: "model" }, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}
