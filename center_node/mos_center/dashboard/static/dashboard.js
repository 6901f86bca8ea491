// What pages need beyond htmx: copying, choosing many at once, the theme, a key for searching.
// Every page works without it.
(() => {
  "use strict";

  const root = document.documentElement;

  function isDark() {
    if (root.dataset.theme) return root.dataset.theme === "dark";
    return matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function switchTheme() {
    const theme = isDark() ? "light" : "dark";
    root.dataset.theme = theme;
    try {
      localStorage.setItem("mos-theme", theme);
    } catch {
      // It lasts as long as the page.
    }
  }

  async function copy(button) {
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      // Without TLS browsers refuse: select the text, so that a key copies it.
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Selected";
    }
    setTimeout(() => (button.textContent = before), 1500);
  }

  // A form with boxes to tick: say how many are ticked, and tick all of them with one.
  // The boxes may stand outside of the form that they belong to.
  function boxesOf(form) {
    return [...form.elements].filter((field) => field.matches("[data-choose]"));
  }

  function countChosen(form) {
    const boxes = boxesOf(form);
    const chosen = boxes.filter((box) => box.checked).length;
    form.querySelectorAll("[data-chosen]").forEach((place) => (place.textContent = chosen));
    form.classList.toggle("has-chosen", chosen > 0);
    const all = form.querySelector("[data-choose-all]");
    if (all) {
      all.checked = chosen > 0 && chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-theme-toggle]");
    if (!button) return;
    if (button.dataset.copy === undefined) switchTheme();
    else copy(button);
  });

  document.addEventListener("change", (event) => {
    const form = event.target.form;
    if (!form) return;
    if (event.target.matches("[data-choose-all]")) {
      boxesOf(form).forEach((box) => (box.checked = event.target.checked));
    }
    if (event.target.matches("[data-choose], [data-choose-all]")) countChosen(form);
    if (event.target.matches("[data-send-on-change]")) form.requestSubmit();
  });

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const search = document.querySelector("input[type=search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  });

  // A page that comes back from the browser's memory may have boxes ticked.
  addEventListener("pageshow", () => document.querySelectorAll("form").forEach(countChosen));
})();
