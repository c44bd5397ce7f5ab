// How a block of the Jacobian (letters put in × letters read) is drawn.

import { drawLegend, shade, sizeCanvas, type Theme } from "../shared/canvas";
import { cssColour, type Triple } from "../shared/colour";
import { scaleTicks } from "../shared/geometry";
import { tickText } from "../shared/text";

export interface BlockPicture {
  /** In display order: letters put at i (rows) and read at j (columns), and the values row by row. */
  rows: string[];
  columns: string[];
  values: Float32Array;
  /** What stands there in the wild type. */
  wildTypeRow: string;
  wildTypeColumn: string;
  rowTitle: string;
  columnTitle: string;
  /** Index of the row whose letter the other forms follow, −1 for none. */
  picked: number;
}

export interface BlockLayout {
  left: number;
  top: number;
  cell: number;
  height: number;
  width: number;
}

export function blockLayout(width: number, rows: number, columns: number): BlockLayout {
  const left = rows === 1 ? 62 : 44;
  const top = 4;
  const cell = Math.max(8, Math.min(22, Math.floor((width - left - 6) / columns)));
  return { left, top, cell, width: left + cell * columns + 6, height: top + cell * rows + 40 };
}

export function drawBlock(
  canvas: HTMLCanvasElement,
  layout: BlockLayout,
  picture: BlockPicture,
  theme: Theme,
  colours: Triple[],
  limit: number,
  hover: [number, number] | null,
): void {
  const context = sizeCanvas(canvas, layout.width, layout.height);
  const { left, top, cell } = layout;
  const { rows, columns, values } = picture;
  const [across, down] = [cell * columns.length, cell * rows.length];
  const css = colours.map((colour) => cssColour(colour));
  rows.forEach((_, r) => {
    columns.forEach((_, c) => {
      const value = values[r * columns.length + c]!;
      context.fillStyle = Number.isNaN(value) ? theme.missing : css[Math.min(css.length - 1, shade(value, -limit, limit))]!;
      context.fillRect(left + c * cell, top + r * cell, cell, cell);
    });
  });
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.strokeRect(left - 0.5, top - 0.5, across + 1, down + 1);
  const wildRow = rows.indexOf(picture.wildTypeRow);
  const wildColumn = columns.indexOf(picture.wildTypeColumn);
  context.strokeStyle = theme.soft;
  context.globalAlpha = 0.8;
  if (wildRow >= 0) context.strokeRect(left + 0.5, top + wildRow * cell + 0.5, across - 1, cell - 1);
  if (wildColumn >= 0) context.strokeRect(left + wildColumn * cell + 0.5, top + 0.5, cell - 1, down - 1);
  context.globalAlpha = 1;
  if (picture.picked >= 0 && rows.length > 1) {
    // A pointer beside the row, so that the letter stays legible.
    const y = top + (picture.picked + 0.5) * cell;
    context.fillStyle = theme.accent;
    context.beginPath();
    context.moveTo(left - 1, y);
    context.lineTo(left - 5, y - 3);
    context.lineTo(left - 5, y + 3);
    context.fill();
  }
  const letter = (text: string, x: number, y: number, wild: boolean, lit: boolean): void => {
    if (wild || lit) {
      context.fillStyle = wild ? theme.accent : theme.ink;
      context.font = `700 11px ${theme.font}`;
    } else {
      context.fillStyle = theme.soft;
      context.font = `11px ${theme.font}`;
    }
    context.fillText(text, x, y);
  };
  context.textBaseline = "middle";
  context.textAlign = rows.length === 1 ? "right" : "center";
  rows.forEach((text, r) =>
    letter(text.length > 1 ? "mask" : text, left - (rows.length === 1 ? 6 : 12), top + (r + 0.5) * cell + 0.5, r === wildRow, hover?.[0] === r),
  );
  context.textAlign = "center";
  context.textBaseline = "top";
  columns.forEach((text, c) => letter(text, left + (c + 0.5) * cell, top + down + 5, c === wildColumn, hover?.[1] === c));
  context.fillStyle = theme.soft;
  context.font = `11px ${theme.font}`;
  context.fillText(picture.columnTitle, left + across / 2, top + down + 22);
  if (rows.length > 1) {
    context.save();
    context.translate(9, top + down / 2);
    context.rotate(-Math.PI / 2);
    context.textBaseline = "middle";
    context.fillText(picture.rowTitle, 0, 0);
    context.restore();
  }
  if (hover) {
    context.strokeStyle = theme.ink;
    context.lineWidth = 1.5;
    context.strokeRect(left + hover[1] * cell + 0.25, top + hover[0] * cell + 0.25, cell - 0.5, cell - 0.5);
  }
}

/** The colour scale of a slice: as far below zero as above. */
export function drawScale(context: CanvasRenderingContext2D, theme: Theme, colours: Triple[], limit: number, width: number): void {
  const marks = scaleTicks(-limit, limit, 4).map((value) => ({ at: (value + limit) / (2 * limit), text: tickText(value) }));
  const few = colours.filter((_, k) => k % 14 === 0 || k === (colours.length - 1) / 2);
  drawLegend(context, theme, few.map((colour) => cssColour(colour)), marks, width);
}
