/* SPDX-License-Identifier: MIT */
/* The forest as a picture on canvas: rings from the middle out, or layers from left to right; a feature is as wide as it has leaves.
 *
 * Features are side by side on the unit interval, children within their parent. What is seen is a part of it, [from, to], and the levels
 * from `top` down. */

const picture = {
  from: [], to: [], order: [], shape: 'rings', colour: 'branch', seen: {from: 0, to: 1, top: 0}, hover: -1, cursor: -1, moving: 0, whole: false, drawMs: 0, orphans: 0,

  layout() {
    const {count, levels, base, index} = forest;
    picture.from = new Float64Array(count);
    picture.to = new Float64Array(count);
    /* Trees by size, the largest first; then, apart, what has no parent. */
    const tops = [];
    let total = 0;
    for (let g = 0; g < count; g++)
      if (forest.parent[g] < 0) {
        tops.push(g);
        total += forest.leaves[g];
      }
    tops.sort((a, b) => (forest.level[a] > 0) - (forest.level[b] > 0) || forest.level[a] - forest.level[b] || forest.leaves[b] - forest.leaves[a] || a - b);
    const gap = tops.some(g => forest.level[g] > 0) ? total * 0.012 : 0;
    let at = 0;
    total += 2 * gap;
    for (const g of tops) {
      if (forest.level[g] > 0 && !picture.orphans) {
        at += gap;
        picture.orphans = at / total;
      }
      picture.from[g] = at / total;
      at += forest.leaves[g];
      picture.to[g] = at / total;
    }
    for (let g = 0; g < count; g++) {
      let next = picture.from[g];
      for (const child of childrenOf(g)) {
        picture.from[child] = next;
        next += forest.leaves[child] / total;
        picture.to[child] = next;
      }
    }
    picture.order = index.levels.map((level, l) => Int32Array.from({length: level.features}, (_, i) => base[l] + i).sort((a, b) => picture.from[a] - picture.from[b]));
    picture.top = [];
    for (const key of ['density', 'high', 'p_parent', 'p_child'])
      picture.top[key] = forest[key].reduce((most, value) => value > most ? value : most, 0);
    picture.levels = levels;
  },

  /* Geometry for the canvas's size. */
  frame() {
    const box = $('canvases'), width = box.clientWidth, height = box.clientHeight, shown = forest.levels - picture.seen.top;
    if (picture.shape === 'layers')
      return {width, height, shown, band: width / shown};
    /* Around the rings there is room for the names of large families. */
    const names = Math.min(width, height) > 420 ? 96 : 0;
    const radius = Math.max(10, Math.min(width, height) / 2 - 6 - names), hole = radius * 0.2;
    return {width, height, shown, names, x: width / 2, y: height / 2, radius, hole, band: (radius - hole) / shown};
  },

  fill(g, dark) {
    const faint = tree.filtered && tree.match && !tree.match[g];
    const level = forest.level[g];
    if (faint)
      return dark ? '#24292b' : '#e9e6de';
    if (isDead(g))
      return dark ? '#3a3f42' : '#cfcac0';
    if (picture.colour === 'branch') {
      const middle = (picture.from[g] + picture.to[g]) / 2;
      const light = dark ? Math.min(46, 30 + 4 * level) : Math.min(82, 56 + 7 * level);
      const alone = picture.orphans && middle > picture.orphans;
      return `hsl(${(middle * 330 + 20).toFixed(1)} ${alone ? 6 : dark ? 36 : 42}% ${light}%)`;
    }
    const value = picture.colour === 'judge' ? labels.edges.get(g) ?? NaN : forest[picture.colour][g];
    if (Number.isNaN(value))
      return dark ? '#3a3f42' : '#cfcac0';
    const share = ['p_parent', 'p_child', 'judge'].includes(picture.colour) ? value : Math.sqrt(value / picture.top[picture.colour]);
    return dark ? `hsl(${(150 - 100 * share).toFixed(0)} ${30 + 35 * share}% ${22 + 48 * share}%)` : `hsl(${(90 + 90 * share).toFixed(0)} ${30 + 20 * share}% ${90 - 62 * share}%)`;
  },

  /* Outline of the interval [a, b] (of what is seen, 0..1) on the shown level k. */
  trace(context, frame, a, b, k) {
    context.beginPath();
    if (picture.shape === 'layers')
      context.rect(k * frame.band, a * frame.height, frame.band - 1, (b - a) * frame.height);
    else {
      const start = a * 2 * Math.PI - Math.PI / 2, end = b * 2 * Math.PI - Math.PI / 2, inner = frame.hole + k * frame.band;
      context.arc(frame.x, frame.y, inner + frame.band - 1, start, end);
      context.arc(frame.x, frame.y, inner, end, start, true);
      context.closePath();
    }
  },

  canvas(id) {
    const canvas = $(id), ratio = devicePixelRatio || 1, box = $('canvases');
    const width = Math.round(box.clientWidth * ratio), height = Math.round(box.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height)
      [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, box.clientWidth, box.clientHeight);
    return context;
  },

  draw() {
    if (view.mode !== 'picture' || $('picture').hidden || !$('canvases').clientWidth)
      return;
    const began = performance.now();
    const context = picture.canvas('base'), frame = picture.frame(), dark = theme.isDark(), {from, to, top} = picture.seen, scale = 1 / (to - from);
    for (let k = 0; k < frame.shown; k++) {
      const length = picture.shape === 'layers' ? frame.height : 2 * Math.PI * (frame.hole + (k + 0.5) * frame.band), least = 0.8 / length;
      let drawn = 0;
      for (const g of picture.order[top + k]) {
        const a = Math.max(0, (picture.from[g] - from) * scale), b = Math.min(1, (picture.to[g] - from) * scale);
        /* Slivers under a pixel: one stands for the few that share it. */
        if (b <= 0 || a >= 1 || b - drawn < least && b < 1)
          continue;
        picture.trace(context, frame, b - a < least ? Math.max(drawn, a - least) : a, b, k);
        context.fillStyle = picture.fill(g, dark);
        context.fill();
        drawn = b;
        if ((b - a) * length > 5) {
          context.strokeStyle = dark ? '#15191a' : '#fbfaf6';
          context.lineWidth = 1;
          context.stroke();
        }
        if ((b - a) * length > 15 && frame.band > 34)
          picture.label(context, frame, g, a, b, k, length, dark);
      }
    }
    picture.middle(context, frame, dark);
    picture.names(context, frame, dark);
    picture.drawOver();
    picture.drawMs = performance.now() - began;
  },

  label(context, frame, g, a, b, k, length, dark) {
    const room = picture.shape === 'layers' ? frame.band - 12 : frame.band - 10;
    const size = Math.max(10, Math.min(14, (b - a) * length * 0.6));
    context.font = size + 'px system-ui, sans-serif';
    const words = labelOf(g) ? [visible(labelOf(g))] : topTokens(g).map(wordText);
    let text = words.shift() || nameOf(g);
    while (words.length && context.measureText(text + ' ' + words[0]).width < room)
      text += ' \u00b7 ' + words.shift();
    text = picture.cutTo(context, text, room);
    context.fillStyle = (picture.colour === 'branch' ? dark : (picture.colour[0] === 'p' ? forest[picture.colour][g] > 0.45 : false) || dark) ? '#f6f4ee' : '#14201a';
    context.textBaseline = 'middle';
    context.save();
    if (picture.shape === 'layers') {
      context.textAlign = 'left';
      context.fillText(text, k * frame.band + 6, (a + b) / 2 * frame.height);
    } else {
      const angle = (a + b) * Math.PI - Math.PI / 2, left = Math.cos(angle) < 0;
      context.translate(frame.x, frame.y);
      context.rotate(left ? angle + Math.PI : angle);
      context.textAlign = 'center';
      context.fillText(text, (left ? -1 : 1) * (frame.hole + (k + 0.5) * frame.band), 0);
    }
    context.restore();
  },

  /* Names of the large families of the innermost ring, around the outermost; the larger ones first where there is no room for all. */
  names(context, frame, dark) {
    if (picture.shape === 'layers' || !frame.names)
      return;
    const {from, to, top} = picture.seen, scale = 1 / (to - from), round = 2 * Math.PI * frame.radius, least = 13 / round;
    const families = [];
    for (const g of picture.order[top]) {
      const a = Math.max(0, (picture.from[g] - from) * scale), b = Math.min(1, (picture.to[g] - from) * scale);
      if (b - a > 0.4 * least && !isDead(g))
        families.push({text: labelOf(g) ? visible(labelOf(g)) : topTokens(g).slice(0, 2).map(wordText).join(' \u00b7 '), middle: (a + b) / 2, wide: b - a, strong: Boolean(labelOf(g))});
    }
    if (picture.orphans && top === 0) {
      const a = Math.max(0, (picture.orphans - from) * scale), b = Math.min(1, (1 - from) * scale);
      if (b > a)
        families.push({text: 'no parent', middle: (a + b) / 2, wide: 2, strong: false});
    }
    const placed = [];
    context.textBaseline = 'middle';
    context.fillStyle = dark ? '#e8e6df' : '#23302a';
    for (const {text, middle, strong} of families.sort((a, b) => b.strong - a.strong || b.wide - a.wide)) {
      if (placed.some(other => Math.min(Math.abs(other - middle), 1 - Math.abs(other - middle)) < least))
        continue;
      placed.push(middle);
      context.font = (strong ? '600 ' : '') + '11.5px system-ui, sans-serif';
      const angle = middle * 2 * Math.PI - Math.PI / 2, left = Math.cos(angle) < 0;
      context.save();
      context.translate(frame.x, frame.y);
      context.rotate(left ? angle + Math.PI : angle);
      context.textAlign = left ? 'right' : 'left';
      context.fillText(picture.cutTo(context, text, frame.names - 4), (left ? -1 : 1) * (frame.radius + 7), 0);
      context.restore();
    }
    picture.named = placed.length;
  },

  cutTo(context, text, room) {
    while (text.length > 1 && context.measureText(text).width > room)
      text = text.length > 2 ? text.slice(0, -2) + '\u2026' : '\u2026';
    return text;
  },

  /* What the middle of the rings stands for: the branch one is in. */
  middle(context, frame, dark) {
    if (picture.shape === 'layers')
      return;
    const g = picture.root();
    context.fillStyle = dark ? '#e8e6df' : '#23302a';
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.font = '600 13px system-ui, sans-serif';
    const part = g < 0 && picture.seen.to - picture.seen.from < 1;
    context.fillText(g >= 0 ? nameOf(g) : part ? 'Part' : 'Forest', frame.x, frame.y - 8);
    context.font = '11px system-ui, sans-serif';
    context.fillText(g >= 0 || part ? '\u2191 out' : frame.hole > 46 ? plural(forest.count, 'feature') : number(forest.count), frame.x, frame.y + 9);
  },

  drawOver() {
    const context = picture.canvas('over'), frame = picture.frame(), {from, to, top} = picture.seen, scale = 1 / (to - from), dark = theme.isDark();
    const outline = (g, colour, width) => {
      const k = forest.level[g] - top, a = Math.max(0, (picture.from[g] - from) * scale), b = Math.min(1, (picture.to[g] - from) * scale);
      if (k < 0 || b <= a)
        return;
      picture.trace(context, frame, a, Math.max(b, a + 0.0012), k);
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    };
    const ink = dark ? '#ffffff' : '#101713';
    if (view.target.kind === 'feature')
      for (const g of lineage(view.target.g))
        outline(g, ink, g === view.target.g ? 3 : 1.5);
    const current = picture.hover >= 0 ? picture.hover : document.activeElement === $('canvases') ? picture.cursor : -1;
    if (current >= 0)
      for (const g of lineage(current))
        outline(g, dark ? '#ffd479' : '#b3541e', g === current ? 3 : 1.5);
  },

  /* The feature whose branch fills the picture, or -1. */
  root() {
    const {from, to, top} = picture.seen;
    if (top === 0 && from <= 0 && to >= 1)
      return -1;
    for (const g of picture.order[top])
      if (picture.from[g] <= from + 1e-12 && picture.to[g] >= to - 1e-12)
        return g;
    return -1;
  },

  at(x, y) {
    const frame = picture.frame(), {from, to, top} = picture.seen;
    let share, k;
    if (picture.shape === 'layers')
      [share, k] = [y / frame.height, Math.floor(x / frame.band)];
    else {
      const dx = x - frame.x, dy = y - frame.y, distance = Math.hypot(dx, dy);
      if (distance < frame.hole)
        return {g: -1, inside: true};
      share = (Math.atan2(dy, dx) / (2 * Math.PI) + 1.25) % 1;
      k = Math.floor((distance - frame.hole) / frame.band);
    }
    const where = from + share * (to - from);
    if (k < 0 || k >= frame.shown)
      return {g: -1, where};
    const order = picture.order[top + k];
    let low = 0, high = order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (picture.from[order[middle]] <= where)
        low = middle + 1;
      else
        high = middle;
    }
    const g = low ? order[low - 1] : -1;
    return {g: g >= 0 && where <= picture.to[g] ? g : -1, where};
  },

  /* Moves to what is seen of a branch (-1: all), softly where the reader has nothing against it. */
  zoomTo(g, at_once) {
    picture.moveTo(g < 0 ? {from: 0, to: 1, top: 0} : {from: picture.from[g], to: picture.to[g], top: forest.level[g]}, at_once);
  },

  moveTo(aim, at_once) {
    const start = {...picture.seen}, began = performance.now();
    cancelAnimationFrame(picture.moving);
    const quick = at_once || matchMedia('(prefers-reduced-motion: reduce)').matches;
    const step = now => {
      const share = quick ? 1 : Math.min(1, (now - began) / 320), ease = 1 - (1 - share) ** 3;
      picture.seen = share === 1 ? aim : {from: start.from + (aim.from - start.from) * ease, to: start.to + (aim.to - start.to) * ease, top: aim.top};
      picture.draw();
      if (share < 1)
        picture.moving = requestAnimationFrame(step);
    };
    quick ? step(began) : picture.moving = requestAnimationFrame(step);
  },

  /* Follows the target: to its branch, or the smallest one around it that has something to show; else to its surroundings. */
  follow(at_once) {
    let g = view.target.kind === 'feature' ? view.target.g : -1;
    picture.cursor = g >= 0 ? g : picture.cursor;
    while (g >= 0 && forest.leaves[g] < 6 && forest.parent[g] >= 0)
      g = forest.parent[g];
    if (g < 0 || forest.leaves[g] >= 6)
      picture.zoomTo(g, at_once);
    else {
      const width = Math.min(1, 40 * (picture.to[g] - picture.from[g]) / forest.leaves[g]);
      const from = Math.max(0, Math.min(1 - width, (picture.from[g] + picture.to[g] - width) / 2));
      picture.moveTo({from, to: from + width, top: forest.level[g]}, at_once);
    }
  },

  scaleAround(where, factor) {
    const {from, to, top} = picture.seen, width = Math.min(1, (to - from) * factor);
    if (width < 1e-6)
      return;
    let start = where - (where - from) / (to - from) * width;
    start = Math.max(0, Math.min(1 - width, start));
    picture.moveTo({from: start, to: start + width, top: width < 1 ? top : 0}, true);
  },

  slide(share) {
    const {from, to, top} = picture.seen, width = to - from, start = Math.max(0, Math.min(1 - width, from - share * width));
    picture.moveTo({from: start, to: start + width, top}, true);
  },

  out() {
    const g = picture.root(), above = g >= 0 ? forest.parent[g] : -1;
    if (view.target.kind === 'feature' && g >= 0 && above >= 0)
      go({kind: 'feature', g: above});
    else
      picture.zoomTo(above);
  },

  say(g) {
    $('said').textContent = nameOf(g) + ', ' + (saidOf(g) || 'no tokens') + ', ' + plural(forest.childCount[g], 'child', 'children');
  },

  tip(g, x, y) {
    showTip([make('strong', {}, nameOf(g)), chips(g), 'density ' + percent(forest.density[g]) + ' \u00b7 ' + plural(forest.childCount[g], 'child', 'children')
      + (forest.parent[g] >= 0 ? ' \u00b7 P(p|c) ' + number(forest.p_parent[g]) : '')], x, y);
  },

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey)
      return;
    let g = picture.cursor >= 0 ? picture.cursor : picture.order[picture.seen.top][0];
    const order = picture.order[forest.level[g]], at = order.indexOf(g);
    const steps = {ArrowRight: () => order[Math.min(order.length - 1, at + 1)], ArrowLeft: () => order[Math.max(0, at - 1)],
      ArrowUp: () => forest.parent[g] >= 0 ? forest.parent[g] : g, ArrowDown: () => forest.childCount[g] ? childrenOf(g)[0] : g, Home: () => order[0], End: () => order.at(-1)};
    if (Object.hasOwn(steps, event.key)) {
      g = picture.cursor = steps[event.key]();
      picture.hover = -1;
      const {from, to, top} = picture.seen;
      if (forest.level[g] < top || picture.to[g] <= from || picture.from[g] >= to)
        picture.zoomTo(forest.parent[g], true);
      picture.drawOver();
      picture.say(g);
    } else if (event.key === 'Enter' || event.key === ' ')
      go({kind: 'feature', g});
    else if (event.key === '+' || event.key === '=')
      picture.scaleAround((picture.from[g] + picture.to[g]) / 2, 0.7);
    else if (event.key === '-')
      picture.scaleAround((picture.from[g] + picture.to[g]) / 2, 1 / 0.7);
    else if (event.key === 'Escape')
      picture.out();
    else
      return;
    event.preventDefault();
    event.stopPropagation();
  },

  start() {
    picture.layout();
    const box = $('canvases'), fingers = new Map();
    let dragged = 0;
    const point = event => {
      const area = box.getBoundingClientRect();
      return [event.clientX - area.left, event.clientY - area.top];
    };
    box.addEventListener('pointermove', event => {
      const before = fingers.get(event.pointerId), now = point(event);
      if (before) {
        const frame = picture.frame(), others = [...fingers].filter(([id]) => id !== event.pointerId);
        if (others.length) {
          const other = others[0][1], far = Math.hypot(now[0] - other[0], now[1] - other[1]), was = Math.hypot(before[0] - other[0], before[1] - other[1]);
          picture.scaleAround(picture.at(...now).where ?? 0.5, was / Math.max(1, far));
        } else if (picture.shape === 'layers')
          picture.slide((now[1] - before[1]) / frame.height);
        else
          picture.slide(((Math.atan2(now[1] - frame.y, now[0] - frame.x) - Math.atan2(before[1] - frame.y, before[0] - frame.x) + 3 * Math.PI) % (2 * Math.PI) - Math.PI) / (2 * Math.PI));
        dragged += Math.hypot(now[0] - before[0], now[1] - before[1]);
        fingers.set(event.pointerId, now);
      }
      const {g} = picture.at(...now);
      if (g !== picture.hover) {
        picture.hover = g;
        picture.drawOver();
      }
      g >= 0 ? picture.tip(g, event.clientX, event.clientY) : hideTip();
    });
    box.addEventListener('pointerdown', event => { dragged = 0; fingers.set(event.pointerId, point(event)); });
    for (const name of ['pointerup', 'pointercancel', 'pointerleave'])
      box.addEventListener(name, event => fingers.delete(event.pointerId));
    box.addEventListener('pointerleave', () => { picture.hover = -1; hideTip(); picture.drawOver(); });
    box.addEventListener('click', event => {
      const {g, inside} = picture.at(...point(event));
      if (dragged > 6)
        return;
      if (g >= 0)
        go({kind: 'feature', g});
      else if (inside)
        picture.out();
    });
    box.addEventListener('wheel', event => {
      event.preventDefault();
      picture.scaleAround(picture.at(...point(event)).where ?? 0.5, Math.exp(Math.max(-50, Math.min(50, event.deltaY)) * 0.006));
    }, {passive: false});
    box.addEventListener('keydown', picture.key);
    box.addEventListener('focus', picture.drawOver);
    box.addEventListener('blur', picture.drawOver);
    $('colour').addEventListener('change', () => { picture.colour = $('colour').value; picture.draw(); });
    $('shape').addEventListener('click', () => {
      picture.shape = picture.shape === 'rings' ? 'layers' : 'rings';
      $('shape').setAttribute('aria-pressed', String(picture.shape === 'layers'));
      picture.draw();
    });
    $('whole').addEventListener('click', () => picture.zoomTo(-1));
    new ResizeObserver(picture.draw).observe(box);
  },
};
