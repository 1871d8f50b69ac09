// A report to keep: the film as it is shown, and the answer beside it, as one PNG; and all rows as CSV.

import { decided, numberOf, pointOf } from "./answer.js";

const WIDTH = 1600, HEIGHT = 1130, EDGE = 40, FILM = 860;

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function lines(context, text, width) {
  const found = [""];
  for (const word of text.split(/\s+/)) {
    const longer = found.at(-1) ? `${found.at(-1)} ${word}` : word;
    if (context.measureText(longer).width <= width || !found.at(-1)) found[found.length - 1] = longer;
    else found.push(word);
  }
  return found;
}

export function png(film, viewer, model, group) {
  const sheet = document.createElement("canvas");
  sheet.width = WIDTH;
  sheet.height = HEIGHT;
  const context = sheet.getContext("2d");
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, WIDTH, HEIGHT);
  const picture = document.createElement("canvas");
  picture.width = FILM;
  picture.height = HEIGHT - 2 * EDGE;
  const scale = Math.min(picture.width / viewer.film.width, picture.height / viewer.film.height);
  viewer.render(picture, { x: viewer.film.width / 2, y: viewer.film.height / 2, scale });
  context.drawImage(picture, EDGE, EDGE);
  const left = EDGE + FILM + 40, width = WIDTH - left - EDGE;
  let y = EDGE;
  const write = (text, size, { bold = false, colour = "#17202a", gap = 0.5 } = {}) => {
    context.font = `${bold ? "700" : "400"} ${size}px system-ui, "Noto Sans", "DejaVu Sans", sans-serif`;
    context.fillStyle = colour;
    for (const line of lines(context, text, width)) {
      if (y + size > HEIGHT - 120) return;
      y += 1.35 * size;
      context.fillText(line, left, y, width);
    }
    y += gap * size;
  };
  write(film.name, 22, { colour: "#53606e" });
  for (const row of film.rows) {
    if (row.status !== "predicted") {
      write("No answer", 34, { bold: true, colour: "#a5410b" });
      write(row.reason, 20);
      continue;
    }
    write(`Called ${row.called}${film.rows.length > 1 ? ` (${row.head})` : ""}`, 34, { bold: true, colour: row.called === model.positive ? "#a5410b" : "#1c6b45" });
    write(model.classes.map((name) => `${name} ${row.probabilities[name].toFixed(3)}`).join(", "), 22);
    if (row.reason) write(`Answered on demand: ${row.reason}.`, 18, { colour: "#a5410b" });
    for (const line of decided(row, pointOf(film.answers, row) || {}, model)) write(line, 18, { gap: 0.35 });
  }
  const told = film.rows[0];
  const known = [["patient", told.patient], ["side", told.laterality], ["view", told.view]].filter(([, value]) => value);
  if (known.length) write(known.map(([name, value]) => `${name} ${value}`).join(", "), 18);
  for (const row of group?.rows || []) write(`${row.unit === "breast" ? `${row.laterality} breast` : row.unit} of ${numberOf(row.films, "film")}${row.head === "detector_partner" ? ", both breasts compared" : ""}: ${row.called}, score ${row.score?.toPrecision(3) ?? "none"}`, 18, { gap: 0.2 });
  const notes = [...new Set(film.rows.flatMap((row) => row.notes))];
  write("Assumed", 18, { bold: true, gap: 0.2 });
  for (const note of notes.length ? notes : ["nothing"]) write(note, 17, { gap: 0.2, colour: "#3a4653" });
  if (viewer.map?.picture && viewer.opacity) write(`Colours: what speaks for ${viewer.map.of}, 0 to ${viewer.map.largest.toPrecision(3)}: ${viewer.map.said}.`, 17, { colour: "#3a4653" });
  y = HEIGHT - 150;
  context.font = "400 17px system-ui, sans-serif";
  context.fillStyle = "#53606e";
  const foot = `mammo ${model.version}, run ${model.run}, head ${model.head}, trained on ${model.dataset}; ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`;
  lines(context, foot, width).forEach((line, n) => context.fillText(line, left, HEIGHT - EDGE - 54 + 22 * n, width));
  context.font = "700 22px system-ui, sans-serif";
  context.fillStyle = "#a5410b";
  context.fillText("Not for diagnostic use.", left, HEIGHT - EDGE);
  sheet.toBlob((blob) => save(blob, `${film.name.replace(/[^\w.-]+/g, "_")}_report.png`), "image/png");
}

// A cell of CSV; a program for tables does not take it for a formula.
function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  const plain = typeof value !== "number" && /^[=+\-@\t]/.test(text) ? `'${text}` : text;
  return /[",\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

export function csv(rows, model) {
  const plain = ["unit", "status", "reason", "path", "patient", "exam", "laterality", "view", "films", "head"];
  const last = ["score", "called", "threshold", "sensitivity", "specificity"];
  const head = [...plain, ...model.classes.map((name) => `probability_${name}`), ...last, "notes"];
  const body = rows.map((row) => [...plain.map((name) => row[name]), ...model.classes.map((name) => row.probabilities[name]), ...last.map((name) => row[name]), row.notes.join("; ")]);
  const text = [head, ...body].map((line) => line.map(cell).join(",")).join("\n");
  save(new Blob([`${text}\n`], { type: "text/csv" }), "predictions.csv");
}
