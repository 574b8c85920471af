// Live figures, keys and copying. Every page is whole without this file.
(() => {
  'use strict';
  const all = (what, root = document) => [...root.querySelectorAll(what)];
  const status = document.getElementById('live-status');
  const say = (text, how) => {
    if (!status) return;
    status.className = how;
    if (status.textContent !== text) status.textContent = text;
  };

  // --- Live: the server says that something has changed, and the page's live parts are read again.
  const regions = () => all('[data-live]');
  const busy = () => window.scrollY > 300
    || regions().some((region) => region.contains(document.activeElement) && document.activeElement.matches('input:not([type=checkbox]), select, textarea')
      || region.querySelector('input:checked') || region.contains(window.getSelection().anchorNode) && !window.getSelection().isCollapsed);
  let source, lost, missed = false, reading = false, read = new Date();
  const gone = (what) => say(`Not live: this is how it was at ${read.toLocaleTimeString()}. ${what}`, 'off');
  const refresh = async () => {
    if (reading) return;
    if (busy()) { missed = true; say('Paused while you read', 'held'); return; }
    reading = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: 'text/html' }, redirect: 'error' });
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html');
      for (const old of regions()) {
        const now = fresh.getElementById(old.id);
        if (!now) throw new Error('it is gone');
        if (busy()) continue;
        const open = all('details', old).map((one) => one.open);
        all('details', now).forEach((one, place) => { one.open = open[place] || one.open; });
        const focus = old.contains(document.activeElement) && document.activeElement.getAttribute('href');
        if (old.innerHTML !== now.innerHTML) old.replaceChildren(...now.childNodes);
        if (focus) { const link = all('a', old).find((one) => one.getAttribute('href') === focus); if (link) link.focus(); }
      }
      offerAll();
      missed = false;
      read = new Date();
      say('Live', 'on');
    } catch { gone('Reload the page to see what is new.'); } finally { reading = false; }
  };
  const listen = () => {
    if (source || document.hidden) return;
    source = new EventSource(document.body.dataset.stream);
    source.onopen = () => {
      clearTimeout(lost);
      lost = undefined;
      if (status.className === 'off') refresh(); else if (!missed) say('Live', 'on');
    };
    source.onmessage = refresh;
    // The server ends each stream after a while, and the browser comes back within two seconds: only more than that is told.
    source.onerror = () => {
      const over = source.readyState === EventSource.CLOSED;
      lost ??= setTimeout(gone, over ? 0 : 5000, over ? 'Reload the page to go on.' : 'Trying again.');
    };
  };
  const rest = () => { if (source) source.close(); source = undefined; };
  if (document.body.dataset.stream && regions().length) {
    listen();
    document.addEventListener('visibilitychange', () => { if (document.hidden) rest(); else { listen(); refresh(); } });
    window.addEventListener('scroll', () => { if (missed && !busy()) refresh(); }, { passive: true });
    window.addEventListener('pagehide', rest);
  }

  // --- Copying
  if (navigator.clipboard) {
    for (const what of all('[data-copy]')) {
      const button = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Copy' });
      button.addEventListener('click', async () => {
        try { await navigator.clipboard.writeText(what.textContent); button.textContent = 'Copied'; } catch { button.textContent = 'Not copied'; }
        setTimeout(() => { button.textContent = 'Copy'; }, 2000);
      });
      what.after(button);
    }
  }

  // --- Ticking all rows
  const offerAll = () => all('form table thead th .hidden').forEach((words) => {
    const box = Object.assign(document.createElement('input'), { type: 'checkbox' });
    box.setAttribute('aria-label', 'Select all on this page');
    box.addEventListener('change', () => all('input[name=id]', box.closest('table')).forEach((one) => { one.checked = box.checked; }));
    words.replaceWith(box);
  });
  offerAll();
  document.addEventListener('change', () => { if (missed && !busy()) refresh(); });

  // --- Keys: ? lists them
  const keys = document.getElementById('keys');
  const rows = () => all('main tbody tr').filter((row) => row.querySelector('a'));
  let first = '';
  const move = (step) => {
    const links = rows().map((row) => row.querySelector('a'));
    const at = links.indexOf(document.activeElement);
    const next = links[Math.max(0, Math.min(links.length - 1, at + step))];
    if (next) next.focus();
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('input, select, textarea')) return;
    const key = event.key, before = first;
    first = '';
    if (before === 'g') {
      const link = document.querySelector(`nav a[data-key="${CSS.escape(key)}"]`);
      if (link) { event.preventDefault(); link.click(); }
    } else if (key === 'g') {
      first = 'g';
      setTimeout(() => { first = ''; }, 1500);
    } else if (key === '?' && keys) {
      if (keys.open) keys.close(); else keys.showModal();
    } else if (key === 'j') { move(1); } else if (key === 'k') { move(-1); } else if (key === '/') {
      const search = document.querySelector('form[role=search] :is(input, select)');
      if (search) { event.preventDefault(); search.closest('details').open = true; search.focus(); }
    }
  });
  const close = keys && keys.querySelector('button');
  if (close) close.addEventListener('click', () => keys.close());
})();
