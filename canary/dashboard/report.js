// An incident report, laid out. It is Markdown of a few kinds of lines that Serin writes (canary/incident/markdown.c);
// what came from strangers is escaped in it as numbers of characters, and is text here, never markup.

import {make} from "./page.js";

function plain(text) {
  return text.replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code))).trim();
}

function cellsOf(line) {
  return line.replace(/^\||\|$/g, "").split("|").map(plain);
}

// A heading without words is none: then the first cell of each row names it.
function tableOf(lines) {
  const head = cellsOf(lines[0]);
  const isNamed = head.some((text) => text !== "");
  const table = make("table");
  if (isNamed) {
    const line = make("tr");
    line.append(...head.map((text) => text === "" ? make("td") : make("th", text, {scope: "col"})));
    const place = make("thead");
    place.append(line);
    table.append(place);
  }
  const body = make("tbody");
  for (const text of lines.slice(2)) {
    const line = make("tr");
    line.append(...cellsOf(text).map((cell, i) =>
      !isNamed && i === 0 ? make("th", cell, {scope: "row"}) : make("td", cell)));
    body.append(line);
  }
  table.append(body);
  return table;
}

function listOf(lines) {
  const list = make("ul");
  list.append(...lines.map((line) => make("li", plain(line.replace(/^- (\[ \] )?/, "")))));
  return list;
}

function paragraphOf(line) {
  const [, loud, rest] = /^\*\*(.+?)\*\*(.*)$/.exec(line) ?? [null, null, line];
  const paragraph = make("p");
  paragraph.append(...(loud === null ? [] : [make("strong", plain(loud))]), loud === null ? plain(rest) : ` ${plain(rest)}`);
  return paragraph;
}

const BLOCKS = [
  {begins: "|", make: tableOf},
  {begins: "- ", make: listOf},
  {begins: "    ", make: (lines) => make("pre", lines.map((line) => line.slice(4)).join("\n"), {tabindex: "0"})},
];

function oneLine(line) {
  const heading = /^(#+) (.*)$/.exec(line);
  return heading === null ? paragraphOf(line) : make(`h${heading[1].length + 2}`, plain(heading[2]));
}

// The elements of a report, in order. Its chart is shown beside it.
export function layOut(text) {
  const lines = text.split("\n");
  const elements = [];
  for (let from = 0; from < lines.length;) {
    const block = BLOCKS.find((one) => lines[from].startsWith(one.begins));
    let to = from + 1;
    while (block !== undefined && to < lines.length && lines[to].startsWith(block.begins)) {
      to++;
    }
    if (block !== undefined) {
      elements.push(block.make(lines.slice(from, to)));
    } else if (lines[from].trim() !== "" && !lines[from].startsWith("![")) {
      elements.push(oneLine(lines[from]));
    }
    from = to;
  }
  return elements;
}
