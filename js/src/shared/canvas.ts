// Crisp canvases, the page's own colours, and pictures painted from arrays.

import { isDark, parseCss, type Triple } from "./colour";

export interface Theme {
  dark: boolean;
  surface: Triple;
  ink: string;
  soft: string;
  line: string;
  accent: string;
  missing: string;
  good: string;
  bad: string;
  font: string;
}

/** The colours that CSS gives this element, in a form that a canvas takes. */
export function readTheme(element: HTMLElement): Theme {
  const style = getComputedStyle(element);
  const surface = parseCss(style.backgroundColor) ?? [255, 255, 255];
  const variable = (name: string): string => style.getPropertyValue(`--cj-${name}`).trim() || style.color;
  return {
    dark: isDark(surface),
    surface,
    ink: variable("ink"),
    soft: variable("soft"),
    line: variable("line"),
    accent: variable("accent"),
    missing: variable("missing"),
    good: variable("good"),
    bad: variable("bad"),
    font: style.fontFamily,
  };
}

/** Call back when the page turns light or dark, in whichever way its host does that. */
export function watchTheme(callback: () => void): () => void {
  const query = window.matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", callback);
  const observer = new MutationObserver(callback);
  const options = { attributes: true, attributeFilter: ["class", "style", "data-theme", "data-jp-theme-light", "data-jp-theme-name", "theme"] };
  observer.observe(document.body, options);
  observer.observe(document.documentElement, options);
  return () => {
    query.removeEventListener("change", callback);
    observer.disconnect();
  };
}

/** Size a canvas for the screen's own pixels; drawing goes on in CSS pixels. */
export function sizeCanvas(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d")!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Run `draw` once before the next frame, however often it is asked for. */
export function onceAFrame(draw: () => void): { ask(): void; stop(): void } {
  let frame = 0;
  return {
    ask() {
      if (!frame) {
        frame = requestAnimationFrame(() => {
          frame = 0;
          draw();
        });
      }
    },
    stop() {
      cancelAnimationFrame(frame);
    },
  };
}

/** Colour index 0 … 255 of a value. */
export const shade = (value: number, low: number, high: number): number => {
  const at = Math.round((255 * (value - low)) / (high - low));
  return at < 0 ? 0 : at > 255 ? 255 : at;
};

/** A horizontal colour bar with ticks under it. */
export function drawLegend(
  context: CanvasRenderingContext2D,
  theme: Theme,
  colours: string[],
  marks: { at: number; text: string }[],
  width: number,
): void {
  const bar = 8;
  const inset = 14;
  const length = width - 2 * inset;
  const gradient = context.createLinearGradient(inset, 0, inset + length, 0);
  colours.forEach((colour, k) => gradient.addColorStop(k / (colours.length - 1), colour));
  context.fillStyle = gradient;
  context.beginPath();
  context.roundRect(inset, 1, length, bar, 2);
  context.fill();
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.stroke();
  context.fillStyle = theme.soft;
  context.strokeStyle = theme.soft;
  context.font = `10px ${theme.font}`;
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const mark of marks) {
    const x = inset + mark.at * length;
    context.fillRect(Math.round(x) - 0.5, bar + 1, 1, 3);
    context.fillText(mark.text, x, bar + 6);
  }
}
