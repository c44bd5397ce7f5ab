"""JavaScript that takes times inside the page, on the page's own clock."""

# Collects when the pointer moved for each question, and when its answer had been drawn; when the read-outs
# changed after a move; and when each canvas was drawn after the pointer was let go of.
LISTEN = """() => {
  const found = { drags: [], frames: [], hovers: [], brushes: [] };
  window.catjacFound = found;
  // A message is delivered after the frame in which it was posted has been drawn.
  const drawn = (note) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => note(performance.now());
    channel.port2.postMessage(null);
  };
  document.addEventListener("catjac-drag", (event) => {
    found.drags.push([event.detail.serial, event.detail.moved]);
  }, true);
  document.addEventListener("catjac-frame", (event) => {
    const { serial } = event.detail;
    drawn((now) => found.frames.push([serial, now]));
  }, true);
  let moved = 0;
  document.addEventListener("pointermove", (event) => { moved = event.timeStamp; }, true);
  const watch = (selector, kind) => {
    let answered = 0;
    new MutationObserver(() => {
      const began = moved;
      if (began !== answered) drawn((now) => found.hovers.push([kind, now - began]));
      answered = began;
    }).observe(document.querySelector(selector), { childList: true, characterData: true, subtree: true });
  };
  watch(".catjac-explorer .cj-map .cj-readout", "map");
  watch(".catjac-explorer .cj-pointed", "track");
  // What is drawn anew begins with an empty canvas.
  let released = 0;
  document.addEventListener("pointerup", (event) => { released = event.timeStamp; }, true);
  const { clearRect } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.clearRect = function (...box) {
    clearRect.apply(this, box);
    if (!released) return;
    const began = released;
    for (const [kind, name] of [["map", "cj-touch"], ["track", "cj-letters"]]) {
      if (!this.canvas.classList.contains(name)) continue;
      drawn((now) => found.brushes.push([kind, began, now - began]));
    }
  };
}"""

# What was collected since the last time.
FOUND = """() => {
  const { drags, frames, hovers, brushes } = window.catjacFound;
  return [drags.splice(0), frames.splice(0), hovers.splice(0), brushes.splice(0)];
}"""

# From running the selected cell to the first picture of a new explorer, and to the first map in it.
FIRST_PIXELS = """async () => {
  const titles = () => [...document.querySelectorAll(".catjac-explorer .cj-map .cj-title")];
  const before = new Set(titles());
  const began = performance.now();
  window.jupyterapp.commands.execute("notebook:run-cell-and-select-next");
  const until = (test) => new Promise((done) => {
    const look = () => {
      if (!test()) return requestAnimationFrame(look);
      const channel = new MessageChannel();
      channel.port1.onmessage = () => done(performance.now() - began);
      channel.port2.postMessage(null);
    };
    look();
  });
  const title = () => titles().find((element) => !before.has(element))?.textContent ?? "";
  const picture = await until(() => title() !== "");
  const map = await until(() => !["", "No map yet"].includes(title()));
  return [picture, map];
}"""

# From asking the kernel to its answer, as often as told.
ANSWERS = """async ([code, times]) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const spent = [];
  for (let k = 0; k < times; k++) {
    const began = performance.now();
    await kernel.requestExecute({ code, store_history: false }).done;
    spent.push(performance.now() - began);
    await new Promise((done) => setTimeout(done, 50));
  }
  return spent;
}"""
