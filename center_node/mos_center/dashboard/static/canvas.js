// A scene's canvas: boxes of regions are drawn, moved and resized, and follow what is typed.
// The fields of the form are the truth: without this, they do it all alone.
(() => {
  "use strict";

  const form = document.querySelector("[data-scene]");
  if (!form) return;
  const canvas = form.querySelector("[data-canvas]");
  const boxes = form.querySelector("[data-boxes]");
  const list = form.querySelector("[data-regions]");
  const template = form.querySelector("[data-region-fields]");
  const SIDES = ["left", "top", "right", "bottom"];
  const LEAST = 8; // Smaller boxes may hold no latent.
  const NEAR = 14; // How far from a corner it is still meant, in pixels of the screen.
  const drawn = new Map();

  const field = (region, name) => region.querySelector(`[name="region_${name}"]`);
  const regions = () => [...list.querySelectorAll("[data-region]")];
  const clamp = (value, low, high) => Math.min(Math.max(value, low), Math.max(low, high));

  function size() {
    return ["width", "height"].map((name) => {
      const side = Number(form.elements[name].value);
      return side >= LEAST && side <= 2048 ? Math.round(side) : 512;
    });
  }

  function boxOf(region) {
    const sides = SIDES.map((side) => field(region, side).value.trim());
    const box = sides.map(Number);
    const fits = sides.every((side) => /^\d+$/.test(side));
    return fits && box[0] < box[2] && box[1] < box[3] ? box : null;
  }

  function changed(region) {
    // htmx asks for the verdict when it hears of a change.
    (region || form.elements.width).dispatchEvent(new Event("input", { bubbles: true }));
  }

  function write(region, box) {
    SIDES.forEach((side, i) => (field(region, side).value = Math.round(box[i])));
    show();
    changed(field(region, "left"));
  }

  function moved(box, dx, dy) {
    const [width, height] = size();
    const x = clamp(dx, -box[0], width - box[2]);
    const y = clamp(dy, -box[1], height - box[3]);
    return [box[0] + x, box[1] + y, box[2] + x, box[3] + y];
  }

  // `corner` says which sides follow the point: 0 or 2 across, 1 or 3 down.
  function stretched(box, corner, x, y) {
    const limits = size();
    const next = [...box];
    [[corner[0], x], [corner[1], y]].forEach(([side, value]) => {
      const other = (side + 2) % 4;
      const low = side < 2 ? 0 : box[other] + LEAST;
      const high = side < 2 ? box[other] - LEAST : limits[side % 2];
      next[side] = clamp(value, low, high);
    });
    return next;
  }

  function element(name, parent) {
    return parent.appendChild(document.createElementNS("http://www.w3.org/2000/svg", name));
  }

  function shapeOf(region) {
    if (!drawn.has(region)) {
      const group = element("g", boxes);
      group.setAttribute("tabindex", "0");
      group.setAttribute("role", "application");
      group.setAttribute("aria-describedby", "canvas-hint");
      const shape = { group, rect: element("rect", group), text: element("text", group) };
      shape.corners = [[0, 1], [2, 1], [0, 3], [2, 3]].map((corner) => {
        const circle = element("circle", group);
        return { corner, circle };
      });
      group.addEventListener("keydown", (event) => onKey(event, region));
      drawn.set(region, shape);
    }
    return drawn.get(region);
  }

  function show() {
    const [width, height] = size();
    canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const unit = width / (canvas.clientWidth || width);
    const all = regions();
    drawn.forEach((shape, region) => {
      if (!all.includes(region)) {
        shape.group.remove();
        drawn.delete(region);
      }
    });
    all.forEach((region, i) => {
      number(region, i);
      place(region, i, unit);
    });
    form.querySelector("[data-none]").hidden = all.length > 0;
    form.querySelector("[data-add]").disabled = all.length >= Number(form.dataset.most);
  }

  function number(region, i) {
    region.querySelector("[data-number]").textContent = i + 1;
    region.querySelector(".swatch").setAttribute("class", `swatch region-${i % 6}`);
    const remove = region.querySelector("[name=remove]");
    remove.value = i + 1;
    remove.setAttribute("aria-label", `Remove region ${i + 1}`);
  }

  function place(region, i, unit) {
    const box = boxOf(region);
    const { group, rect, text, corners } = shapeOf(region);
    group.setAttribute("class", `box region-${i % 6}`);
    group.setAttribute("visibility", box ? "visible" : "hidden");
    if (!box) return;
    const name = field(region, "id").value;
    const attributes = { x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1] };
    Object.entries(attributes).forEach(([key, value]) => rect.setAttribute(key, value));
    text.setAttribute("x", box[0] + 8 * unit);
    text.setAttribute("y", box[1] + 20 * unit);
    text.setAttribute("font-size", 14 * unit);
    text.textContent = `${i + 1} ${name}`;
    corners.forEach(({ corner, circle }) => {
      circle.setAttribute("cx", box[corner[0]]);
      circle.setAttribute("cy", box[corner[1]]);
      circle.setAttribute("r", 6 * unit);
    });
    const told = SIDES.map((side, k) => `${side} ${box[k]}`).join(", ");
    group.setAttribute("aria-label", `Box ${i + 1}, ${name}: ${told}`);
  }

  function freeName() {
    const taken = new Set(regions().map((region) => field(region, "id").value));
    let i = 1;
    while (taken.has(`region-${i}`)) i += 1;
    return `region-${i}`;
  }

  function add(box) {
    if (regions().length >= Number(form.dataset.most)) return null;
    list.append(template.content.cloneNode(true));
    const region = regions().at(-1);
    field(region, "id").value = freeName();
    write(region, box);
    return region;
  }

  function remove(region) {
    region.remove();
    show();
    changed();
  }

  // Points of the screen in pixels of the picture.
  function point(event) {
    const at = new DOMPoint(event.clientX, event.clientY);
    const { x, y } = at.matrixTransform(canvas.getScreenCTM().inverse());
    const [width, height] = size();
    return [clamp(x, 0, width), clamp(y, 0, height)];
  }

  function hit(x, y) {
    const near = (NEAR * size()[0]) / canvas.clientWidth;
    const shown = regions().filter(boxOf).reverse();
    for (const region of shown) {
      const box = boxOf(region);
      const corner = [[0, 1], [2, 1], [0, 3], [2, 3]].find(
        ([across, down]) => Math.hypot(x - box[across], y - box[down]) <= near
      );
      if (corner) return { region, corner };
    }
    const inside = ([left, top, right, bottom]) => left <= x && x <= right && top <= y && y <= bottom;
    return { region: shown.find((region) => inside(boxOf(region))) };
  }

  let drag = null;

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    const [x, y] = point(event);
    drag = { ...hit(x, y), x, y };
    if (drag.region) {
      drag.box = boxOf(drag.region);
      shapeOf(drag.region).group.focus();
    }
    canvas.setPointerCapture(event.pointerId);
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [x, y] = point(event);
    if (drag.corner) write(drag.region, stretched(drag.box, drag.corner, x, y));
    else if (drag.region) write(drag.region, moved(drag.box, x - drag.x, y - drag.y));
    else if (Math.abs(x - drag.x) >= LEAST && Math.abs(y - drag.y) >= LEAST) {
      drag.box = [
        Math.min(x, drag.x), Math.min(y, drag.y), Math.max(x, drag.x), Math.max(y, drag.y),
      ];
      drag.region = add(drag.box);
      drag.corner = [x > drag.x ? 2 : 0, y > drag.y ? 3 : 1];
      if (drag.region) shapeOf(drag.region).group.focus();
      else drag = null;
    }
  });

  ["pointerup", "pointercancel"].forEach((name) =>
    canvas.addEventListener(name, () => (drag = null))
  );

  function onKey(event, region) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    const box = boxOf(region);
    if (event.key === "Delete") {
      remove(region);
      canvas.closest("section").querySelector("[tabindex]")?.focus();
    } else if (step && box) {
      const [dx, dy] = step.map((one) => one * LEAST);
      const next = event.shiftKey
        ? stretched(box, [2, 3], box[2] + dx, box[3] + dy)
        : moved(box, dx, dy);
      write(region, next);
    } else return;
    event.preventDefault();
  }

  form.addEventListener("click", (event) => {
    const button = event.target.closest("[data-add], [name=remove]");
    if (!button) return;
    event.preventDefault();
    if (button.name === "remove") {
      remove(button.closest("[data-region]"));
      form.querySelector("[data-add]").focus();
      return;
    }
    const [width, height] = size();
    const left = regions().length % 2 ? Math.floor(width / 2) : 0;
    const region = add([left, 0, left + Math.floor(width / 2), height]);
    if (region) field(region, "prompt").focus();
  });

  form.addEventListener("input", show);
  addEventListener("resize", show);
  // A page that comes back from the browser's memory may have other values in its fields.
  addEventListener("pageshow", show);
  boxes.replaceChildren();
  show();
})();
