// A model card: the Markdown of headings, lists, tables, code and links, as elements.
import { el } from "./dom.js";

export function prose(markdown) {
  const lines = markdown.replaceAll("\r", "").split("\n"), nodes = [];
  const while_ = (test) => { const taken = []; while (lines.length && test(lines[0])) taken.push(lines.shift()); return taken; };
  while (lines.length) {
    const line = lines[0];
    if (!line.trim()) lines.shift();
    else if (line.startsWith("```")) {
      lines.shift();
      nodes.push(el("pre", {}, while_((l) => !l.startsWith("```")).join("\n")));
      lines.shift();
    } else if (/^#{1,6} /.test(line)) {
      const level = Math.min(line.indexOf(" ") + 1, 4);
      nodes.push(el(`h${level}`, {}, ...inline(lines.shift().replace(/^#+ /, ""))));
    } else if (line.startsWith("|")) nodes.push(table(while_((l) => l.startsWith("|"))));
    else if (/^[-*] /.test(line)) {
      const items = [];
      for (const l of while_((l) => /^([-*] | {2,}\S)/.test(l))) /^[-*] /.test(l) ? items.push(l.slice(2)) : (items[items.length - 1] += ` ${l.trim()}`);
      nodes.push(el("ul", {}, ...items.map((item) => el("li", {}, ...inline(item)))));
    } else {
      const block = [lines.shift(), ...while_((l) => l.trim() && !/^(#{1,6} |[-*] |\||```)/.test(l))];
      nodes.push(el("p", {}, ...inline(block.join(" "))));
    }
  }
  return nodes;
}

function table(lines) {
  const rows = lines.filter((line) => !/^\|[\s:|-]+\|?$/.test(line)).map((line) => line.replace(/^\||\|\s*$/g, "").split("|").map((cell) => cell.trim()));
  const row = (cells, tag) => el("tr", {}, ...cells.map((cell) => el(tag, {}, ...inline(cell))));
  return el("div", { className: "scroll" }, el("table", {}, el("thead", {}, row(rows[0], "th")), el("tbody", {}, ...rows.slice(1).map((cells) => row(cells, "td")))));
}

/** `code`, **strong**, *emphasis*, [links](https://...). */
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*|\[[^\]]+\]\(https?:\/\/[^)\s]+\))/).map((part) => {
    if (/^`.+`$/.test(part)) return el("code", {}, part.slice(1, -1));
    if (/^\*\*.+\*\*$/.test(part)) return el("strong", {}, part.slice(2, -2));
    if (/^\*.+\*$/.test(part)) return el("em", {}, part.slice(1, -1));
    const link = part.match(/^\[(.+)\]\((.+)\)$/);
    return link ? el("a", { href: link[2], rel: "noopener noreferrer" }, link[1]) : part;
  });
}
