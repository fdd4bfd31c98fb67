// What the page of ltm-demo does in the browser, beside Gradio. Called once, when the page has loaded, with the CSS
// colours of the brushes, {box, other}; returns the functions that events call.
(colours) => {
  const editor = () => document.getElementById('editor');
  const find = (selector) => editor()?.querySelector(selector);
  const button = (label) => find(`button[aria-label="${label}"]`);
  const press = () => document.body.dispatchEvent(new MouseEvent('mousedown', {bubbles: true}));

  // What failed before has been dealt with, and would pass for a failure of what begins now.
  const clearMessages = () => document.querySelectorAll('.toast-close').forEach((each) => each.click());

  // On a narrow screen the result is below the form. The heading of it is shown when a job begins.
  const showResult = () => {
    clearMessages();
    document.getElementById('result').scrollIntoView({behavior: 'smooth', block: 'start'});
  };

  // A box is drawn in blue, and nobody looks for it first. Another brush from the server would take the photo away.
  // The editor comes a moment after the photo, and the palette a moment after it is asked for: on a busy machine, a
  // second. A later choice ends this one.
  let turn = 0;
  const takeBrush = (kind) => {
    const colour = colours[kind === 'box' ? 'box' : 'other'], mine = ++turn;
    const take = (tries) => {
      const palette = button('Color'), swatch = find(`button.color[style*="${colour}"]`);
      if (mine !== turn || palette?.style.color === colour) return;
      if (swatch) swatch.click();
      else if (tries % 10 === 0 && button('Undo')) {
        button('Brush').click();
        palette?.click();
      }
      if (tries < 300) setTimeout(() => take(tries + 1), 100);
    };
    take(0);
  };

  // Gradio's palette stays open over the photo until the mouse is pressed elsewhere, and the stroke that this begins
  // is lost.
  document.addEventListener('click', (event) => {
    if (event.target.closest('#editor button.color')) setTimeout(press, 50);
  }, true);

  // The box of blue strokes, over the photo, as they are drawn. What zooms or moves the photo, and the eraser, would
  // leave it in the wrong place: from there on it is not shown, until the canvas is cleared.
  let strokes = [], undone = [], stroke = null, stale = false, drawing = false;
  const shown = Object.assign(document.createElement('div'), {id: 'box'});
  const show = () => {
    const blue = [...strokes, stroke].filter(Boolean);
    const isBox = document.querySelector('#kind input:checked')?.value === 'box';
    shown.hidden = stale || !isBox || !blue.length;
    if (shown.hidden) return;
    const [left, top] = [0, 1].map((each) => Math.min(...blue.map((one) => one[each])));
    const [right, bottom] = [2, 3].map((each) => Math.max(...blue.map((one) => one[each])));
    const style = {left, top, width: right - left, height: bottom - top};
    for (const name in style) shown.style[name] = style[name] + 'px';
    editor().append(shown);
  };
  const at = (event) => {
    const place = editor().getBoundingClientRect();
    return [event.clientX - place.left, event.clientY - place.top];
  };
  const lose = () => { stale ||= strokes.some(Boolean); show(); };
  const clear = () => { [strokes, undone, stroke, stale] = [[], [], null, false]; show(); };
  document.addEventListener('pointerdown', (event) => {
    if (!event.target.closest?.('#editor canvas')) return;
    if (!button('Brush')?.classList.contains('highlight')) return lose();
    drawing = true;
    stroke = button('Color')?.style.color === colours.box ? [...at(event), ...at(event)] : null;
  }, true);
  document.addEventListener('pointermove', (event) => {
    if (!stroke) return;
    const [x, y] = at(event);
    stroke = [Math.min(stroke[0], x), Math.min(stroke[1], y), Math.max(stroke[2], x), Math.max(stroke[3], y)];
    show();
  }, true);
  document.addEventListener('pointerup', () => {
    if (drawing) strokes.push(stroke);
    [drawing, stroke, undone] = [false, null, drawing ? [] : undone];
    show();
  }, true);
  document.addEventListener('click', (event) => {
    const pressed = event.target.closest?.('#editor button, #kind, #photo');
    if (!pressed) return;
    if (pressed.id === 'photo' || pressed.ariaLabel === 'Clear canvas') clear();
    else if (pressed.ariaLabel === 'Undo' && strokes.length) undone.push(strokes.pop());
    else if (pressed.ariaLabel === 'Redo' && undone.length) strokes.push(undone.pop());
    else if (/zoom|%|fit/i.test((pressed.ariaLabel ?? '') + pressed.innerText)) return lose();
    setTimeout(show, 50);
  }, true);
  document.addEventListener('wheel', (event) => { if (event.target.closest?.('#editor canvas')) lose(); }, true);
  window.addEventListener('resize', lose);

  return {clearMessages, showResult, takeBrush};
}
