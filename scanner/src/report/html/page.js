
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const { texts, rules, images, findings, places } = data;
  const SEVERITY = ['critical', 'high', 'medium', 'low'];
  const CONFIDENCE = ['known', 'checked', 'shaped', 'guessed'];
  const ACTION = ['blocks', 'reported', 'suppressed'];
  const STATE = ['visible', 'deleted', 'overwritten', 'config', 'orphan'];
  const PAGE = 100, DOTS = 40, FOLDERS = 30, CONFIG = -2;

  const byId = (id) => document.getElementById(id);
  // Text alone goes into the page, never markup.
  const make = (tag, cls, ...children) => {
    const node = document.createElement(tag);
    if (cls) node.className = cls;
    for (const child of children) if (child !== null && child !== undefined) node.append(child);
    return node;
  };
  const link = (address, words) => {
    const node = make('a', '', words || address);
    node.href = address;
    node.rel = 'noreferrer noopener';
    node.target = '_blank';
    return node;
  };
  const size = (bytes) => {
    if (bytes === null) return '';
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    let unit = 0;
    while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
    return (unit === 0 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)) + ' ' + units[unit];
  };
  const number = (count) => count.toLocaleString('en');
  const plural = (count, one, many) => number(count) + ' ' + (count === 1 ? one : many);

  // A row of the tables with names.
  const place = (p) => ({
    finding: findings[p[0]], target: texts[p[1]], image: p[2], layer: p[3], path: p[4], line: p[5], column: p[6],
    state: p[7], sentence: p[8] < 0 ? '' : texts[p[8]], inherited: p[9] === 1, decoded: p[10] < 0 ? '' : texts[p[10]], id: p[11],
  });
  // The part of a picture that a place lies in.
  const part = (p) => {
    if (p[2] < 0) return p[1] + '/' + (p[4].includes('/') ? p[4].slice(0, p[4].indexOf('/')) : '');
    return p[2] + ':' + (p[3] < 0 ? CONFIG : p[3]);
  };

  const filter = { words: [], severity: new Set(), action: new Set(), state: new Set(), rule: '', part: '' };
  let haystacks = null;
  const haystack = (index) => {
    if (!haystacks) haystacks = new Array(places.length);
    if (haystacks[index] === undefined) {
      const p = places[index], f = findings[p[0]], rule = rules[f[0]];
      const image = p[2] < 0 ? null : images[p[2]];
      const layer = image && p[3] >= 0 ? image.layers.find((l) => l.index === p[3]) : null;
      haystacks[index] = [p[4], rule.id, rule.about, f[1], p[11], texts[f[6]], texts[p[1]], SEVERITY[f[2]], CONFIDENCE[f[3]],
        STATE[p[7]], image ? image.name + ' ' + image.digest : '', layer ? layer.by + ' ' + layer.digest : ''].join('\n').toLowerCase();
    }
    return haystacks[index];
  };
  const holds = (index, but) => {
    const p = places[index], f = findings[p[0]];
    if (but !== 'severity' && filter.severity.size && !filter.severity.has(f[2])) return false;
    if (but !== 'action' && filter.action.size && !filter.action.has(f[4])) return false;
    if (but !== 'state' && filter.state.size && !filter.state.has(p[7])) return false;
    if (filter.rule !== '' && rules[f[0]].id !== filter.rule) return false;
    if (but !== 'part' && filter.part && part(p) !== filter.part) return false;
    if (filter.words.length) {
      const text = haystack(index);
      for (const word of filter.words) if (!text.includes(word)) return false;
    }
    return true;
  };

  let shown = [], drawn = 0, last = '';
  const list = byId('list'), more = byId('more');

  const details = (body, p) => {
    const it = place(p), f = it.finding, rule = rules[f[0]];
    body.append(make('p', '', rule.about + ', ' + CONFIDENCE[f[3]] + ': ', make('code', '', texts[f[6]])));
    body.append(make('p', '', texts[f[5]]));
    if (it.sentence) body.append(make('p', '', it.sentence));
    if (it.decoded) body.append(make('p', '', 'Seen after decoding ' + it.decoded + '.'));
    if (it.inherited) body.append(make('p', '', 'It comes from the base image.'));
    const steps = make('ol', '');
    for (const step of f[7]) {
      const words = texts[step];
      const item = make('li', '');
      if (rule.revoke && words.endsWith(rule.revoke)) item.append(words.slice(0, -rule.revoke.length), link(rule.revoke));
      else item.append(words);
      steps.append(item);
    }
    if (f[4] !== 2) body.append(steps);
    const others = places.filter((other) => other[0] === p[0]).length - 1 + f[8];
    const same = make('p', '', make('code', '', f[1]), ' ', make('code', '', 'id ' + it.id));
    body.append(same);
    if (others > 0) {
      const button = make('button', '', 'Show all ' + number(others + 1) + ' places of this secret' + (f[8] ? ' (' + number(f[8]) + ' are only counted)' : ''));
      button.type = 'button';
      button.addEventListener('click', () => { clear(); search.value = f[1]; searched(); window.scrollTo(0, 0); });
      body.append(button);
    }
    if (rule.reference) body.append(make('p', '', link(rule.reference, 'About this format')));
  };

  const heading = (p) => {
    const it = place(p);
    if (it.image < 0) return make('h3', 'group', it.target);
    const image = images[it.image];
    const layer = it.layer < 0 ? null : image.layers.find((l) => l.index === it.layer);
    const name = image.name + (image.platform ? ' (' + image.platform + ')' : '') + (layer ? ', layer ' + layer.index + ' (' + layer.digest + ')' : ', configuration');
    const node = make('h3', 'group', name, layer && layer.by ? make('small', '', layer.by) : null);
    if (layer) node.title = layer.by;
    return node;
  };

  const draw = () => {
    const piece = document.createDocumentFragment();
    const end = Math.min(shown.length, drawn + PAGE);
    for (; drawn < end; drawn += 1) {
      const p = places[shown[drawn]], f = findings[p[0]];
      const group = p[1] + '/' + p[2] + ':' + p[3];
      if (group !== last) { piece.append(heading(p)); last = group; }
      const row = make('details', 'row' + (f[4] === 2 ? ' quiet' : ''));
      const what = make('span', 'what', rules[f[0]].id);
      if (p[7] === 1 || p[7] === 2 || p[7] === 4) what.append(make('span', 'tag', STATE[p[7]]));
      if (f[4] !== 0) what.append(make('span', 'tag', ACTION[f[4]]));
      row.append(make('summary', '', make('span', 'sev s' + f[2], SEVERITY[f[2]]), make('span', 'where', p[4] + ':' + p[5] + ':' + p[6]), what));
      // The body is made when it is first seen.
      row.addEventListener('toggle', () => {
        if (row.open && row.children.length === 1) {
          const body = make('div', 'body');
          details(body, p);
          row.append(body);
        }
      });
      piece.append(row);
    }
    list.append(piece);
    more.hidden = drawn >= shown.length;
    if (!more.hidden) more.textContent = 'Show more (' + number(shown.length - drawn) + ' left)';
  };

  const chips = [];
  const count = byId('count');
  const update = () => {
    shown = [];
    for (let index = 0; index < places.length; index += 1) if (holds(index, '')) shown.push(index);
    const secrets = new Set(shown.map((index) => findings[places[index][0]][1])).size;
    count.textContent = places.length === 0 ? 'Nothing was found'
      : shown.length === 0 ? 'No place matches these filters'
        : plural(secrets, 'secret', 'secrets') + ' in ' + plural(shown.length, 'place', 'places');
    if (shown.length < places.length) count.append(make('small', '', ' of ' + number(places.length)));
    list.replaceChildren();
    drawn = 0;
    last = '';
    draw();
    for (const chip of chips) {
      chip.node.setAttribute('aria-pressed', String(filter[chip.kind].has(chip.value)));
    }
    for (const node of document.querySelectorAll('.layer')) node.setAttribute('aria-pressed', String(node.dataset.part === filter.part));
  };

  const search = byId('search'), select = byId('rule');
  let waiting = 0;
  const searched = () => {
    filter.words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    update();
  };
  const clear = () => {
    search.value = '';
    select.value = '';
    filter.words = [];
    filter.rule = '';
    filter.part = '';
    filter.severity.clear();
    filter.action.clear();
    filter.state.clear();
  };

  const controls = () => {
    const counts = { severity: [0, 0, 0, 0], action: [0, 0, 0], state: [0, 0, 0, 0, 0] };
    const byRule = new Map();
    for (const p of places) {
      const f = findings[p[0]];
      counts.severity[f[2]] += 1;
      counts.action[f[4]] += 1;
      counts.state[p[7]] += 1;
      byRule.set(f[0], (byRule.get(f[0]) || 0) + 1);
    }
    const words = { severity: SEVERITY, action: ACTION, state: STATE };
    for (const kind of ['action', 'severity', 'state']) {
      const present = words[kind].map((word, value) => [word, value]).filter(([, value]) => counts[kind][value] > 0);
      // A choice of one is none.
      if (present.length < 2) continue;
      for (const [word, value] of present) {
        const node = make('button', '', word + ' ', make('small', '', number(counts[kind][value])));
        node.type = 'button';
        node.addEventListener('click', () => {
          if (!filter[kind].delete(value)) filter[kind].add(value);
          update();
        });
        chips.push({ node, kind, value });
        byId('chips').append(node);
      }
    }
    const every = make('option', '', 'all rules');
    every.value = '';
    select.append(every);
    for (const [rule, total] of [...byRule].sort((a, b) => b[1] - a[1])) {
      const option = make('option', '', rules[rule].id + ' (' + number(total) + ')');
      option.value = rules[rule].id;
      select.append(option);
    }
    // A long list waits until the typing pauses; a short one follows each letter.
    search.addEventListener('input', () => {
      clearTimeout(waiting);
      if (places.length > 5000) waiting = setTimeout(searched, 150);
      else searched();
    });
    select.addEventListener('change', () => { filter.rule = select.value; update(); });
    byId('clear').addEventListener('click', () => { clear(); update(); });
    more.addEventListener('click', draw);
    byId('theme').addEventListener('click', () => {
      const root = document.documentElement;
      const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
      root.dataset.theme = dark ? 'light' : 'dark';
    });
  };

  // One bar of a picture, with the secrets of its part on it.
  const bar = (key, nr, share, label, step, inside) => {
    const node = make('button', 'layer' + (inside.length ? ' has' : ''));
    node.type = 'button';
    node.dataset.part = key;
    const track = make('span', 'track');
    const fill = make('span', 'fill');
    fill.style.width = (share * 100) + '%';
    track.append(fill);
    const every = Math.max(1, Math.ceil(inside.length / DOTS));
    const dots = Math.ceil(inside.length / every);
    // As wide as the layer, and wide enough to tell them apart.
    const width = Math.max(share * 100, Math.min(100, dots * 3.6));
    for (let index = 0; index < inside.length; index += every) {
      const p = inside[index], f = findings[p[0]];
      const dot = make('span', 'dot s' + f[2] + (p[7] === 1 || p[7] === 2 ? ' gone' : '') + (f[4] === 2 ? ' quiet' : ''));
      dot.style.left = ((index / every + 0.5) / dots * width) + '%';
      dot.title = p[4] + ':' + p[5] + ' ' + rules[f[0]].id;
      track.append(dot);
    }
    const blocking = inside.filter((p) => findings[p[0]][4] === 0).length;
    node.append(make('span', 'nr', nr), track, make('span', 'size', label),
      make('span', 'hits', inside.length ? number(inside.length) : ''), make('span', 'step', step));
    node.setAttribute('aria-label', nr + ' ' + step + ', ' + label + ', ' + plural(inside.length, 'place', 'places') + ', ' + number(blocking) + ' blocking');
    node.title = step;
    node.addEventListener('click', () => {
      filter.part = filter.part === key ? '' : key;
      update();
      byId('count').scrollIntoView({ block: 'nearest' });
    });
    return node;
  };

  const pictures = () => {
    const inside = new Map();
    for (const p of places) {
      const key = part(p);
      if (!inside.has(key)) inside.set(key, []);
      inside.get(key).push(p);
    }
    const root = byId('pictures');
    images.forEach((image, index) => {
      const known = image.layers.filter((layer) => layer.bytes !== null);
      const total = known.reduce((sum, layer) => sum + layer.bytes, 0);
      const largest = known.reduce((most, layer) => Math.max(most, layer.bytes), 1);
      const about = [image.platform, plural(image.layers.length, 'layer', 'layers'), total ? size(total) : '', image.digest].filter(Boolean).join(', ');
      root.append(make('h2', '', image.name + ' ', make('small', '', about)));
      const picture = make('div', 'picture');
      for (const layer of image.layers) {
        const key = index + ':' + layer.index;
        picture.append(bar(key, String(layer.index), layer.bytes === null ? 0 : layer.bytes / largest, size(layer.bytes), layer.by || layer.digest, inside.get(key) || []));
      }
      const config = inside.get(index + ':' + CONFIG) || [];
      if (places.some((p) => p[2] === index && (p[7] === 1 || p[7] === 2))) {
        picture.append(make('p', 'legend', make('span', '', make('span', 'dot'), 'in the running container'),
          make('span', '', make('span', 'dot gone'), 'deleted or overwritten later, and still in the image')));
      }
      if (config.length) picture.append(bar(index + ':' + CONFIG, '', 0, '', 'configuration: environment, labels, history', config));
      const legend = picture.querySelector('.legend');
      if (legend) picture.append(legend);
      root.append(picture);
    });
    const folders = [...inside].filter(([, found]) => found[0][2] < 0).sort((a, b) => b[1].length - a[1].length);
    if (folders.length > 1 || (folders.length === 1 && images.length > 0)) {
      root.append(make('h2', '', 'Folders and files ', make('small', '', 'by places of secrets' + (folders.length > FOLDERS ? ', the first ' + FOLDERS : ''))));
      const picture = make('div', 'picture');
      const largest = folders[0][1].length;
      for (const [key, found] of folders.slice(0, FOLDERS)) {
        const folder = key.slice(key.indexOf('/') + 1);
        picture.append(bar(key, '', found.length / largest, '', texts[found[0][1]] + (folder ? ': ' + folder + '/' : ': files at the top'), found));
      }
      root.append(picture);
    }
  };

  const gaps = () => {
    const root = byId('gaps');
    for (const [gap, name, words, cls] of [
      [data.skipped, 'Not scanned', 'nothing is known of these', 'gap bad'],
      [data.opaque, 'Not opened', 'encrypted or damaged; their raw bytes were searched', 'gap'],
      [data.excluded, 'Nothing to search', 'links, devices, further names', 'gap'],
    ]) {
      if (gap.total === 0) continue;
      const box = make('details', cls, make('summary', '', name + ': ' + number(gap.total)), make('p', '', words + (gap.total > gap.entries.length ? '; ' + number(gap.entries.length) + ' are named' : '')));
      const items = make('ul', '');
      box.append(items);
      box.addEventListener('toggle', () => {
        if (!box.open || items.children.length) return;
        for (const [at, reason, detail] of gap.entries) items.append(make('li', '', at + ': ' + reason + (detail ? ' (' + detail + ')' : '')));
      });
      box.open = cls === 'gap bad' && gap.entries.length <= 20;
      root.append(box);
    }
  };

  // Down and up the list, wherever the focus is.
  const move = (by) => {
    const rows = [...list.querySelectorAll('summary')];
    const at = rows.indexOf(document.activeElement);
    if (by > 0 && at === rows.length - 1 && !more.hidden) { draw(); return move(by); }
    const row = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
    if (row) { row.focus(); row.scrollIntoView({ block: 'nearest' }); }
    return undefined;
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    if (event.key === 'Escape') { clear(); update(); if (typing) event.target.blur(); return; }
    if (typing) return;
    if (event.key === '/') { event.preventDefault(); search.focus(); }
    if (event.key === 'j') move(1);
    if (event.key === 'k') move(-1);
  });

  controls();
  pictures();
  gaps();
  document.querySelector('nav.bar').hidden = places.length === 0;
  document.querySelector('main').hidden = false;
  // A link to one secret: report.html#k1:…
  if (location.hash.length > 1) search.value = decodeURIComponent(location.hash.slice(1));
  searched();
  const under = () => document.documentElement.style.setProperty('--top', document.querySelector('nav.bar').offsetHeight + 'px');
  addEventListener('resize', under);
  under();
  document.documentElement.dataset.ready = String(places.length);
})();
