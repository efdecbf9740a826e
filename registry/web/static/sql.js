// The box of the page of SQL: completion, and names that are put into it.
"use strict";

(() => {
  const MOST = 12;
  let words = null;
  let found = [];
  let chosen = 0;

  const box = () => document.getElementById("query");
  const list = () => document.getElementById("words");

  const load = async (field) => {
    if (words !== null) return;
    words = [];
    try {
      const answer = await fetch(field.dataset.words);
      if (!answer.ok) return;
      const { tables, functions } = await answer.json();
      const seen = new Map();
      for (const [table, columns] of Object.entries(tables)) {
        seen.set(table, "table");
        for (const column of columns) if (!seen.has(column)) seen.set(column, `of ${table}`);
      }
      for (const name of functions) if (!seen.has(name)) seen.set(name, "function");
      words = [...seen].map(([name, kind]) => ({ name, kind }));
      words.tables = tables;
    } catch {
      words = null; // the next key tries again
    }
  };

  const close = () => {
    found = [];
    if (list()) list().hidden = true;
    box()?.setAttribute("aria-expanded", "false");
    box()?.removeAttribute("aria-activedescendant");
  };

  // The word before the cursor, and the table before its point.
  const beginning = (field) => {
    const match = /(?:([A-Za-z_]\w*)\.)?([A-Za-z_]\w*)?$/.exec(field.value.slice(0, field.selectionStart));
    return { table: match[1] || "", word: match[2] || "" };
  };

  const show = () => {
    const field = box();
    list().replaceChildren(
      ...found.map(({ name, kind }, number) => {
        const entry = document.createElement("li");
        const small = document.createElement("small");
        small.textContent = kind;
        entry.append(name, small);
        entry.id = `word-${number}`;
        entry.setAttribute("role", "option");
        entry.setAttribute("aria-selected", String(number === chosen));
        return entry;
      }),
    );
    list().hidden = false;
    field.setAttribute("aria-expanded", "true");
    field.setAttribute("aria-activedescendant", `word-${chosen}`);
    document.getElementById(`word-${chosen}`).scrollIntoView({ block: "nearest" });
  };

  const complete = (field) => {
    const { table, word } = beginning(field);
    const start = word.toLowerCase();
    const columns = words?.tables?.[table];
    const all = columns ? columns.map((name) => ({ name, kind: `of ${table}` })) : table || !start ? [] : words || [];
    found = all.filter(({ name }) => name.toLowerCase().startsWith(start) && name !== word).slice(0, MOST);
    chosen = 0;
    if (found.length) show();
    else close();
  };

  const insert = (text, replaced) => {
    const field = box();
    field.focus();
    field.setRangeText(text, field.selectionStart - replaced, field.selectionEnd, "end");
    close();
  };

  const take = (number) => insert(found[number].name, beginning(box()).word.length);

  document.addEventListener("input", async (event) => {
    if (event.target.id !== "query") return;
    await load(event.target);
    if (document.activeElement === event.target) complete(event.target);
  });

  document.addEventListener("keydown", (event) => {
    if (event.target.id !== "query") return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      close();
      event.target.form.requestSubmit();
    } else if (found.length && event.key === "Escape") {
      event.preventDefault();
      close();
    } else if (found.length && event.key === "Tab" && !event.shiftKey) {
      event.preventDefault();
      take(chosen);
    } else if (found.length && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      chosen = (chosen + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length;
      show();
    }
  });

  // Before the box loses the focus.
  document.addEventListener("mousedown", (event) => {
    const entry = event.target.closest("#words li");
    if (entry) {
      event.preventDefault();
      take([...entry.parentElement.children].indexOf(entry));
    }
  });

  document.addEventListener("focusout", (event) => {
    if (event.target.id === "query") close();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-insert]");
    if (!button || !box()) return;
    const before = box().value.slice(0, box().selectionStart);
    insert((/[\w,]$/.test(before) ? " " : "") + button.dataset.insert, 0);
  });
})();
