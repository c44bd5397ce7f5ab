// What is being computed, for which protein, how far it is, and what went wrong.

import { sharedState, Undo, type Model, type RenderContext, type SequenceInfo } from "../shared/model";
import { make, say, statusText, type Progress } from "../shared/text";

const PAST = new Set(["done", "cancelled", "failed", "idle"]);
const QUIET = new Set(["done", "idle"]);

class JobStatusView {
  private readonly undo = new Undo();
  private readonly name = make("span", "cj-protein");
  private readonly meta = make("span", "cj-meta");
  private readonly text = make("span", "cj-status", "", { role: "status" });
  private readonly button = make("button", "cj-button cj-action", "", { type: "button" });
  private readonly bar = make("div", "cj-bar", "", { role: "progressbar", "aria-label": "rows computed", "aria-valuemin": "0" });
  private readonly filled = make("div", "cj-filled");
  private readonly notice = make("div", "cj-notice", "", { role: "note" });
  private readonly error = make("div", "cj-error", "", { role: "alert" });

  constructor(
    private readonly model: Model,
    private readonly state: Model,
    private readonly el: HTMLElement,
  ) {
    el.classList.add("catjac", "cj-job");
    const line = make("div", "cj-line");
    const who = make("div", "cj-who");
    who.append(this.name, this.meta);
    const what = make("div", "cj-what");
    what.append(this.text, this.button);
    line.append(who, what);
    this.bar.append(this.filled);
    el.replaceChildren(line, this.bar, this.error, this.notice);
    this.undo.on(state, ["status", "progress", "sequence", "notice", "error", "model_name"].map((name) => `change:${name}`), () => this.show());
    this.undo.listen(this.button, "click", () => {
      this.button.disabled = true;
      this.model.send({ kind: this.running ? "cancel" : "resume" });
    });
    this.show();
  }

  private get running(): boolean {
    return !PAST.has(this.state.get<string>("status"));
  }

  private show(): void {
    const { state } = this;
    const sequence = state.get<SequenceInfo>("sequence");
    const status = state.get<string>("status");
    const progress = state.get<Progress>("progress");
    this.name.textContent = sequence.name || "Unnamed protein";
    const chains = sequence.chains.length > 1 ? `${sequence.chains.length} chains · ` : "";
    this.meta.textContent = `${sequence.residues.length} residues · ${chains}${state.get<string>("model_name")}`;
    this.text.textContent = statusText(status, progress);
    // In a page without a kernel there is nobody to ask.
    this.button.hidden = QUIET.has(status) || state.comm_live === false;
    this.button.disabled = false;
    this.button.textContent = this.running ? "Cancel" : status === "failed" ? "Try again" : "Resume";
    const [done, total] = [progress.rows_done ?? 0, progress.rows_total ?? 0];
    this.filled.style.width = `${total ? (100 * done) / total : 0}%`;
    this.bar.classList.toggle("cj-restless", this.running && !done);
    this.bar.classList.toggle("cj-past", !this.running);
    this.bar.hidden = QUIET.has(status);
    this.bar.setAttribute("aria-valuemax", String(total));
    this.bar.setAttribute("aria-valuenow", String(done));
    say(this.notice, state.get<string>("notice"));
    say(this.error, state.get<string>("error"));
  }

  dispose(): void {
    this.undo.run();
    this.el.replaceChildren();
  }
}

async function render({ model, el }: RenderContext): Promise<() => void> {
  const view = new JobStatusView(model, await sharedState(model), el);
  return () => view.dispose();
}

export default { render };
