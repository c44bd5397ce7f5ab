// Where a slice comes from: what the kernel has told is remembered, the rest is asked for, one question at a time.

import type { ArrayPayload } from "../shared/arrays";
import type { Model, Pair, Undo } from "../shared/model";
import type { BlockPart, RowPart } from "./values";

type Reply = (Omit<BlockPart, "values"> | Omit<RowPart, "values">) & { kind: "block" | "row"; id: number; shape: number[] | null };

export type Wanted = { kind: "block"; pair: Pair } | { kind: "row"; position: number; letter: string };

const REMEMBERED = 200;

const nameOf = (wanted: Wanted): string => (wanted.kind === "block" ? `block ${wanted.pair}` : `row ${wanted.position} ${wanted.letter}`);
const isRow = (part: BlockPart | RowPart): part is RowPart => "pos_in" in part;
const namesOf = (part: BlockPart | RowPart): string => (isRow(part) ? `row ${part.pos_in} ${part.aa_in}` : `block ${part.pair}`);

export class SliceSource {
  private readonly known = new Map<string, BlockPart | RowPart>();
  /** The last question, until it is answered. */
  private open: { id: number; name: string } | null = null;
  /** Questions of another view of the same model bear other numbers. */
  private asked = Math.floor(Math.random() * 1e9);
  /** Letters that this Jacobian puts in and reads, as far as something was told. */
  lettersIn: string[] = [];
  lettersOut: string[] = [];
  /** Whether a block's are not all letters of the Jacobian. */
  someLetters = false;

  constructor(
    private readonly model: Model,
    private readonly changed: () => void,
  ) {}

  listen(undo: Undo): void {
    const { model } = this;
    undo.on(model, ["change:block"], () => this.take(model.get<BlockPart | null>("block")));
    undo.on(model, ["change:row"], () => this.take(model.get<RowPart | null>("row")));
    undo.on(model, ["msg:custom"], (reply: Reply, buffers: DataView[]) => this.answer(reply, buffers));
    this.take(model.get<BlockPart | null>("block"));
    this.take(model.get<RowPart | null>("row"));
  }

  /** Take the letters from whatever tells them. */
  learn(part: Pick<BlockPart, "letters_in" | "letters_out" | "some_letters">): void {
    if (!part.letters_in.length) return;
    [this.lettersIn, this.lettersOut] = [part.letters_in, part.letters_out];
    this.someLetters = part.some_letters ?? false;
  }

  /** Forget everything: another Jacobian is behind the view now. */
  forget(): void {
    this.known.clear();
    this.open = null;
  }

  /** What is known of it; null while nobody has said anything. Parts that are not ready are asked for again. */
  get(wanted: Wanted): BlockPart | RowPart | null {
    return this.known.get(nameOf(wanted)) ?? null;
  }

  /** Ask the kernel, unless it is here or the same question is open. */
  ask(wanted: Wanted): void {
    const name = nameOf(wanted);
    if (this.known.get(name)?.status === "ready" || this.open?.name === name) return;
    this.known.delete(name);
    const question = wanted.kind === "block" ? { pos_in: wanted.pair[0], pos_out: wanted.pair[1] } : { pos_in: wanted.position, aa_in: wanted.letter };
    this.open = { id: ++this.asked, name };
    this.model.send({ kind: wanted.kind, id: this.asked, ...question });
  }

  private answer(reply: Reply, buffers: DataView[]): void {
    // Another view of the same model may have asked the same: what counts is what the answer is about.
    if (reply.kind !== "block" && reply.kind !== "row") return;
    const values: ArrayPayload | null = reply.shape && buffers[0] ? { dtype: "float32", shape: reply.shape, data: buffers[0] } : null;
    const part = { ...reply, values } as BlockPart | RowPart;
    if (!this.open || (this.open.id !== reply.id && namesOf(part) !== this.open.name)) return;
    const asked = this.open.name;
    this.open = null;
    this.take(part, asked);
  }

  private take(part: BlockPart | RowPart | null, asked?: string): void {
    if (!part) return;
    this.learn(part);
    // A question about a letter may be answered with the only one that there is.
    for (const name of new Set([namesOf(part), asked ?? namesOf(part)])) {
      this.known.delete(name);
      this.known.set(name, part);
    }
    while (this.known.size > REMEMBERED) this.known.delete(this.known.keys().next().value!);
    this.changed();
  }
}
