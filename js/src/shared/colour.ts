// Colour maps, computed in OKLab so that equal steps in value are equal steps to the eye.

export type Triple = [number, number, number];

export function parseHex(hex: string): Triple {
  const digits = hex.replace("#", "");
  const full = digits.length === 3 ? [...digits].map((digit) => digit + digit).join("") : digits;
  return [0, 2, 4].map((at) => parseInt(full.slice(at, at + 2), 16)) as Triple;
}

const linear = (channel: number): number => {
  const c = channel / 255;
  return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
};

const gamma = (value: number): number => {
  const c = value <= 0.0031308 ? 12.92 * value : 1.055 * Math.max(value, 0) ** (1 / 2.4) - 0.055;
  return Math.round(255 * Math.min(1, Math.max(0, c)));
};

export function toOklab(rgb: Triple): Triple {
  const [r, g, b] = rgb.map(linear) as Triple;
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

export function fromOklab([L, a, b]: Triple): Triple {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    gamma(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    gamma(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    gamma(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

export function mix(from: Triple, to: Triple, share: number): Triple {
  const a = toOklab(from);
  const b = toOklab(to);
  return fromOklab(a.map((value, k) => value + (b[k]! - value) * share) as Triple);
}

export const distance = (a: Triple, b: Triple): number => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

/** `count` colours along the stops, evenly spaced by OKLab distance. */
export function ramp(stops: Triple[], count = 256): Triple[] {
  const labs = stops.map(toOklab);
  const along = [0];
  for (let k = 1; k < labs.length; k++) along.push(along[k - 1]! + distance(labs[k - 1]!, labs[k]!));
  const total = along[along.length - 1]!;
  const colours: Triple[] = [];
  for (let n = 0; n < count; n++) {
    const at = (total * n) / (count - 1);
    let k = 1;
    while (k < labs.length - 1 && along[k]! < at) k++;
    const span = along[k]! - along[k - 1]!;
    const share = span ? (at - along[k - 1]!) / span : 0;
    colours.push(fromOklab(labs[k - 1]!.map((value, c) => value + (labs[k]![c]! - value) * share) as Triple));
  }
  return colours;
}

/** Pack colours as the 32-bit words of an ImageData (little-endian RGBA). */
export function pack(colours: Triple[], alpha = 1): Uint32Array {
  const opacity = Math.round(alpha * 255);
  return Uint32Array.from(colours, ([r, g, b]) => ((opacity << 24) | (b << 16) | (g << 8) | r) >>> 0);
}

export const cssColour = ([r, g, b]: Triple, alpha = 1): string =>
  alpha === 1 ? `rgb(${r}, ${g}, ${b})` : `rgba(${r}, ${g}, ${b}, ${alpha})`;

const SEQUENTIAL: Record<string, { light: string[]; dark: string[] }> = {
  ocean: {
    light: ["#dcecf2", "#9fcbdc", "#4f9dc4", "#2a66a6", "#27397c", "#1a1643"],
    dark: ["#1c2c4e", "#1f5288", "#2386ab", "#4fbab0", "#a9e2b0", "#f7fbd2"],
  },
  ember: {
    light: ["#fbe6cd", "#f8bd85", "#ec7b51", "#c93c49", "#861c52", "#360f3d"],
    dark: ["#331541", "#721c58", "#b8304f", "#ea6a45", "#f9b066", "#fff3d0"],
  },
  graphite: {
    light: ["#d9dbdf", "#9a9ea8", "#5c606b", "#14161b"],
    dark: ["#363a42", "#757a85", "#b6bac3", "#fbfbfc"],
  },
};

export const SEQUENTIAL_NAMES = Object.keys(SEQUENTIAL);

/** A sequential map that begins at the page's own background, so that nothing is the colour of nothing. */
export function sequential(name: string, surface: Triple, dark: boolean, count = 256): Triple[] {
  const stops = (SEQUENTIAL[name] ?? SEQUENTIAL["ocean"]!)[dark ? "dark" : "light"];
  return ramp([surface, ...stops.map(parseHex)], count);
}

/** Blue below zero, the background at zero, vermilion above. */
export function diverging(surface: Triple, dark: boolean, count = 255): Triple[] {
  const below = dark ? ["#24508f", "#4a8fd6", "#b5dcff"] : ["#a9cbe8", "#3f86c4", "#123f7c"];
  const above = dark ? ["#8f3424", "#e07048", "#ffd0ae"] : ["#f3c0a5", "#d9623a", "#7f1d1a"];
  const half = (count + 1) / 2;
  const cold = ramp([surface, ...below.map(parseHex)], half);
  const warm = ramp([surface, ...above.map(parseHex)], half);
  return [...cold.reverse(), ...warm.slice(1)];
}

/** Read "rgb(…)", "rgba(…)" or "#…"; null for anything else or for full transparency. */
export function parseCss(text: string): Triple | null {
  const value = text.trim();
  if (/^#([0-9a-f]{3}|[0-9a-f]{6})$/i.test(value)) return parseHex(value);
  const found = /^rgba?\(\s*([\d.]+)[\s,]+([\d.]+)[\s,]+([\d.]+)(?:[\s,/]+([\d.]+))?\s*\)$/.exec(value);
  if (!found || Number(found[4] ?? 1) === 0) return null;
  return [Number(found[1]), Number(found[2]), Number(found[3])];
}

export const isDark = (colour: Triple): boolean => toOklab(colour)[0] < 0.55;

/** A colour for text on that ground. */
export const readable = (ground: Triple): string => {
  const lightness = (0.2126 * ground[0] + 0.7152 * ground[1] + 0.0722 * ground[2]) / 255;
  return cssColour(lightness > 0.55 ? mix(ground, [0, 0, 0], 0.85) : mix(ground, [255, 255, 255], 0.97));
};
