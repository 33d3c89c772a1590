"use strict";

const root = document.documentElement;
root.classList.add("js");

function startTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const shown = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = shown() === "dark" ? "light" : "dark";
  });
}

function press(button) {
  for (const other of button.parentElement.querySelectorAll("button")) {
    other.setAttribute("aria-pressed", String(other === button));
  }
}

function reorder(table, order) {
  const head = table.tHead.rows[0];
  const columns = order.map((k) => table.columns[k]);
  head.append(...columns.map((cells) => cells[0]));
  table.bodyRows.forEach((row, i) => row.append(...columns.map((cells) => cells[i + 1])));
  table.tBodies[0].append(...order.map((k) => table.bodyRows[k]));
}

function rememberCells(table) {
  table.bodyRows = [...table.tBodies[0].rows];
  const rows = [table.tHead.rows[0], ...table.bodyRows].map((row) => [...row.cells].slice(1));
  table.columns = rows[0].map((_, k) => rows.map((cells) => cells[k]));
}

function startConfusion(section) {
  const orders = Object.values(JSON.parse(section.dataset.orders));
  const tables = [...section.querySelectorAll("table.matrix")];
  tables.forEach(rememberCells);
  const actions = {
    panel: (index) => {
      for (const panel of section.querySelectorAll(".panel")) panel.hidden = panel.dataset.panel !== index;
    },
    order: (index) => tables.forEach((table) => reorder(table, orders[Number(index)])),
  };
  for (const button of section.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      press(button);
      actions[button.dataset.kind](button.dataset.index);
    });
  }
  for (const choice of section.querySelectorAll(".choice")) choice.querySelector("button").click();
}

function startGallery() {
  for (const picture of document.querySelectorAll(".picture:has(.log-mel + .cam)")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Grad-CAM";
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      const on = picture.classList.toggle("explained");
      button.setAttribute("aria-pressed", String(on));
    });
    picture.append(button);
  }
  const players = [...document.querySelectorAll("audio")];
  for (const player of players) {
    player.addEventListener("play", () => players.filter((p) => p !== player).forEach((p) => p.pause()));
  }
}

function startEmbedding(section) {
  const points = [...section.querySelectorAll(".point")];
  const show = (button) => {
    const only = button.getAttribute("aria-pressed") === "true" ? null : button.dataset.class;
    for (const other of button.parentElement.children) {
      other.setAttribute("aria-pressed", String(other.dataset.class === only));
    }
    section.toggleAttribute("data-only", only !== null);
    for (const point of points) point.classList.toggle("only", point.dataset.class === only);
  };
  for (const button of section.querySelectorAll(".classes button")) button.addEventListener("click", () => show(button));
  const play = (point) => {
    const card = document.getElementById(point.dataset.card);
    const player = card.querySelector("audio");
    if (!player) card.scrollIntoView();
    else if (player.paused) player.play();
    else player.pause();
  };
  for (const point of section.querySelectorAll(".plays")) {
    point.addEventListener("click", () => play(point));
    point.addEventListener("keydown", (event) => {
      if (event.key === "Enter") play(point);
    });
  }
}

function startNavigation() {
  const links = [...document.querySelectorAll("nav a")];
  const mark = (id) => links.forEach((a) => a.toggleAttribute("aria-current", a.hash === `#${id}`));
  const watcher = new IntersectionObserver(
    (entries) => entries.filter((e) => e.isIntersecting).forEach((e) => mark(e.target.id)),
    { rootMargin: "-20% 0px -75% 0px" },
  );
  document.querySelectorAll("section").forEach((section) => watcher.observe(section));
}

function startFolded() {
  const open = (id) => {
    const folded = id && document.getElementById(id)?.querySelector(":scope > details");
    if (folded) folded.open = true;
  };
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", () => open(link.hash.slice(1)));
  }
  addEventListener("hashchange", () => open(location.hash.slice(1)));
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => (d.open = true)));
  open(location.hash.slice(1));
}

startTheme();
startFolded();
startNavigation();
document.querySelectorAll(".confusion").forEach(startConfusion);
document.querySelectorAll(".embedding").forEach(startEmbedding);
startGallery();
