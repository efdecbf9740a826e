// Pictures of the pages. Listeners are on the document: htmx swaps pages without loading this file again.
(() => {
  "use strict";

  function say(frame, text) {
    const note = document.createElement("span");
    note.className = "why";
    note.textContent = text;
    frame.append(note);
    return note;
  }

  // A photo that is missing or damaged: the annotation stays on its canvas, and the server says why.
  function explain(image) {
    const frame = image.closest(".frame");
    if (!frame || frame.classList.contains("no-photo")) return;
    frame.classList.add("no-photo");
    const note = say(frame, "No photo");
    fetch(image.currentSrc || image.src || image.href.baseVal)
      .then((answer) => (answer.ok ? "The photo cannot be shown." : answer.text()))
      .then((text) => { note.textContent = text.trim().slice(0, 200) || "No photo"; })
      .catch(() => {});
  }

  document.addEventListener("error", (event) => {
    if (event.target instanceof HTMLImageElement) explain(event.target);
  }, true);

  function check(root) {
    for (const image of root.querySelectorAll(".frame img")) {
      if (image.complete && image.naturalWidth === 0) explain(image);
    }
    for (const image of root.querySelectorAll(".viewer image")) {
      if (image.dataset.checked) continue;
      image.dataset.checked = "yes";
      const probe = new Image();
      probe.addEventListener("error", () => explain(image));
      probe.addEventListener("load", () => {
        const [width, height] = [image.getAttribute("width"), image.getAttribute("height")].map(Number);
        const sides = [probe.naturalWidth, probe.naturalHeight]; // a browser may have turned it
        if (width && !(sides.includes(width) && sides.includes(height))) {
          say(image.closest(".frame"), `The photo has ${sides.join(" x ")} px, the registry ${width} x ${height}: the annotation may not fit.`);
        }
      });
      probe.src = image.href.baseVal;
    }
  }

  // The page of an image. Layers, zoom and what is marked stand in the address.
  const viewerOf = (node) => (node && node.closest ? node.closest(".viewer") : null);
  const theViewer = () => document.querySelector(".viewer");
  const boxOf = (svg) => svg.getAttribute("viewBox").split(" ").map(Number);

  function whole(svg) {
    if (!svg.dataset.whole) svg.dataset.whole = svg.getAttribute("viewBox");
    return svg.dataset.whole.split(" ").map(Number);
  }

  function setBox(svg, x, y, width) {
    const [left, top, across, down] = whole(svg);
    width = Math.min(Math.max(width, across / 64, 4), across);
    const height = (width * down) / across;
    x = Math.min(Math.max(x, left), left + across - width);
    y = Math.min(Math.max(y, top), top + down - height);
    svg.setAttribute("viewBox", [x, y, width, height].map((value) => Math.round(value * 100) / 100).join(" "));
    const labels = svg.querySelector(".labels");
    if (labels) {
      if (!labels.dataset.size) labels.dataset.size = labels.getAttribute("font-size");
      labels.setAttribute("font-size", (labels.dataset.size * width) / across);
    }
    const isZoomed = width < across;
    svg.closest(".viewer").classList.toggle("zoomed", isZoomed);
    setParameter("view", isZoomed ? [svg.getAttribute("viewBox").replaceAll(" ", ",")] : []);
  }

  let pending = 0;
  function setParameter(name, values) {
    const url = new URL(window.location.href);
    url.searchParams.delete(name);
    for (const value of values) url.searchParams.append(name, value);
    clearTimeout(pending);
    pending = setTimeout(() => history.replaceState(history.state, "", url), 150);
  }

  // The point of the picture under a point of the screen.
  function pointAt(svg, clientX, clientY) {
    const matrix = svg.getScreenCTM();
    return matrix ? new DOMPoint(clientX, clientY).matrixTransform(matrix.inverse()) : null;
  }

  function zoom(svg, factor, clientX, clientY) {
    const [x, y, width, height] = boxOf(svg);
    const at = clientX === undefined ? { x: x + width / 2, y: y + height / 2 } : pointAt(svg, clientX, clientY);
    if (!at) return;
    const across = whole(svg)[2];
    const next = Math.min(Math.max(width / factor, across / 64), across);
    setBox(svg, at.x - ((at.x - x) * next) / width, at.y - ((at.y - y) * next) / width, next);
  }

  function restoreView() {
    const viewer = theViewer();
    const view = new URL(window.location.href).searchParams.get("view");
    if (!viewer || !view) return;
    const numbers = view.split(",").map(Number);
    if (numbers.length === 4 && numbers.every(Number.isFinite)) setBox(viewer.querySelector("svg"), ...numbers.slice(0, 3));
  }

  document.addEventListener("wheel", (event) => {
    const viewer = viewerOf(event.target);
    if (!viewer) return;
    const svg = viewer.querySelector("svg");
    if (event.deltaY > 0 && boxOf(svg)[2] >= whole(svg)[2]) return; // the page scrolls on
    event.preventDefault();
    zoom(svg, Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
  }, { passive: false });

  const pointers = new Map();
  document.addEventListener("pointerdown", (event) => {
    const viewer = viewerOf(event.target);
    if (!viewer || event.button !== 0) return;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  document.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    const viewer = theViewer();
    if (!before || !viewer) return;
    const svg = viewer.querySelector("svg");
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
    if (others.length) {
      const other = others[0];
      const distance = (point) => Math.hypot(point.x - other.x, point.y - other.y);
      const now = { x: event.clientX, y: event.clientY };
      if (distance(before) > 1) zoom(svg, distance(now) / distance(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else {
      const from = pointAt(svg, before.x, before.y);
      const to = pointAt(svg, event.clientX, event.clientY);
      const [x, y, width] = boxOf(svg);
      if (from && to && width < whole(svg)[2]) setBox(svg, x + from.x - to.x, y + from.y - to.y, width);
    }
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  for (const name of ["pointerup", "pointercancel"]) {
    document.addEventListener(name, (event) => pointers.delete(event.pointerId));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-zoom]");
    if (!button) return;
    const svg = theViewer().querySelector("svg");
    if (button.dataset.zoom === "all") setBox(svg, ...whole(svg).slice(0, 3));
    else zoom(svg, button.dataset.zoom === "in" ? 1.5 : 1 / 1.5);
  });

  // Before other keys of the page: arrows move a picture that is zoomed and has the focus.
  document.addEventListener("keydown", (event) => {
    const viewer = theViewer();
    if (!viewer || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    const svg = viewer.querySelector("svg");
    const [x, y, width, height] = boxOf(svg);
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "+" || event.key === "=") zoom(svg, 1.5);
    else if (event.key === "-") zoom(svg, 1 / 1.5);
    else if (event.key === "0") setBox(svg, ...whole(svg).slice(0, 3));
    else if (steps && viewerOf(event.target) && width < whole(svg)[2]) {
      setBox(svg, x + (steps[0] * width) / 8, y + (steps[1] * height) / 8, width);
    } else return;
    event.preventDefault();
  }, true);

  document.addEventListener("change", (event) => {
    if (event.target.name !== "hide" || !event.target.closest(".layers")) return;
    const svg = theViewer().querySelector("svg");
    const hidden = [];
    for (const box of event.target.closest(".layers").querySelectorAll("[name=hide]")) {
      svg.classList.toggle(`hide-${box.value}`, box.checked);
      if (box.checked) hidden.push(box.value);
    }
    setParameter("hide", hidden);
    for (const link of document.querySelectorAll("main a[href*='/image/']")) { // other images hide the same
      const url = new URL(link.href);
      url.searchParams.delete("hide");
      for (const name of hidden) url.searchParams.append("hide", name);
      link.href = url.href;
    }
  });

  // htmx knows the addresses of links as they were when the page came.
  document.addEventListener("htmx:configRequest", (event) => {
    const link = event.detail.elt;
    if (link instanceof HTMLAnchorElement && event.detail.boosted) event.detail.path = link.getAttribute("href");
  });

  // Hover and focus mark an item in the picture and in the table, and name a landmark.
  function mark(node, isOn) {
    const viewer = theViewer();
    const part = node.closest ? node.closest("[data-item], [data-landmark]") : null;
    if (!viewer || !part) return;
    const item = part.closest("[data-item]").dataset.item;
    const number = part.dataset.landmark;
    const svg = viewer.querySelector("svg");
    const chosen = document.querySelector("tr[aria-current]");
    const active = isOn ? item : chosen && chosen.dataset.item;
    svg.classList.toggle("has-active", Boolean(active));
    for (const one of document.querySelectorAll(".viewer .item, .items tr[data-item]")) {
      one.classList.toggle("active", one.dataset.item === active);
    }
    for (const one of svg.querySelectorAll(".mark.active")) one.classList.remove("active");
    const tip = viewer.querySelector(".tip");
    tip.textContent = "";
    if (!isOn) return;
    const group = svg.querySelector(`.marks[data-item="${CSS.escape(item)}"]`);
    const point = number && group && group.querySelector(`.mark[data-landmark="${CSS.escape(number)}"]`);
    if (point) {
      point.classList.add("active");
      tip.textContent = `Item ${item}, landmark ${point.querySelector("title").textContent}`;
    }
  }
  document.addEventListener("mouseover", (event) => mark(event.target, true));
  document.addEventListener("mouseout", (event) => mark(event.target, false));
  document.addEventListener("focusin", (event) => mark(event.target, true));
  document.addEventListener("focusout", (event) => mark(event.target, false));

  function begin(root) {
    check(root);
    restoreView();
  }
  document.addEventListener("htmx:load", (event) => begin(event.target));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => begin(document));
  else begin(document);
})();
