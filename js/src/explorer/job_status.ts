// What is being computed, for which protein, how far it is, and what went wrong.

import { isLive, sharedState, Undo, type Model, type RenderContext, type SequenceInfo } from "../shared/model";
import { make, say, statusText, type Progress } from "../shared/text";

/** A model of the menu, and what it would take. */
interface ModelEntry {
  name: string;
  group: string;
  note: string;
  enabled: boolean;
}

/** What a person calls a model: of a path, the file. */
function called(name: string): string {
  return name.startsWith("/") ? name.slice(name.lastIndexOf("/") + 1) : name;
}

const PAST = new Set(["done", "cancelled", "failed", "idle"]);
const QUIET = new Set(["done", "idle"]);

class JobStatusView {
  private readonly undo = new Undo();
  private readonly name = make("span", "cj-protein");
  private readonly meta = make("span", "cj-meta");
  private readonly menu = make("select", "cj-models", "", { "aria-label": "model" });
  private readonly offer = make("button", "cj-button cj-offer", "", { type: "button" });
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
    who.append(this.name, this.meta, this.menu);
    const what = make("div", "cj-what");
    what.append(this.text, this.button);
    line.append(who, what);
    this.bar.append(this.filled);
    el.replaceChildren(line, this.bar, this.error, this.notice, this.offer);
    this.undo.on(state, ["status", "progress", "sequence", "notice", "error", "model_name"].map((name) => `change:${name}`), () => this.show());
    this.undo.listen(this.button, "click", () => {
      this.button.disabled = true;
      this.model.send({ kind: this.running ? "cancel" : "resume" });
    });
    this.undo.on(model, ["change:models", "change:offer"], () => this.show());
    this.undo.listen(this.menu, "change", () => this.choose(this.menu.value));
    this.undo.listen(this.offer, "click", () => this.choose(model.get<string>("offer")));
    if (isLive(model) && !model.get<ModelEntry[]>("models").length) model.send({ kind: "models" });
    this.show();
  }

  private choose(name: string): void {
    this.offer.disabled = true;
    this.model.send({ kind: "model", name });
  }

  private get running(): boolean {
    return !PAST.has(this.state.get<string>("status"));
  }

  private show(): void {
    const { state } = this;
    const sequence = state.get<SequenceInfo>("sequence");
    const status = state.get<string>("status");
    const progress = state.get<Progress>("progress");
    this.name.textContent = sequence.name || "Unnamed sequence";
    const chains = sequence.chains.length > 1 ? `${sequence.chains.length} chains` : "";
    const name = state.get<string>("model_name");
    const models = isLive(this.model) ? this.model.get<ModelEntry[]>("models") : [];
    this.meta.textContent = [`${sequence.residues.length} residues`, chains, models.length ? "" : name].filter(Boolean).join(" · ");
    this.showMenu(models, name);
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

  private showMenu(models: ModelEntry[], name: string): void {
    this.menu.hidden = !models.length;
    const key = JSON.stringify([models, name]);
    if (models.length && this.menu.dataset["key"] !== key) {
      this.menu.dataset["key"] = key;
      const groups = new Map<string, HTMLOptGroupElement>();
      for (const entry of models.some((each) => each.name === name) ? models : [{ name, group: "in use", note: "", enabled: true }, ...models]) {
        const group = groups.get(entry.group) ?? make("optgroup", "", "", { label: entry.group });
        groups.set(entry.group, group);
        const option = make("option", "", entry.note ? `${called(entry.name)} (${entry.note})` : called(entry.name), { value: entry.name, title: entry.name });
        option.disabled = !entry.enabled;
        group.append(option);
      }
      this.menu.replaceChildren(...groups.values());
    }
    this.menu.value = name;
    const offered = models.find((each) => each.name === this.model.get<string>("offer"));
    this.offer.hidden = !offered?.enabled || offered.name === name;
    this.offer.disabled = this.running && this.state.get<Progress>("progress").rows_total === 100 && this.state.get<string>("status") === "queued";
    if (offered) this.offer.textContent = `Use ${offered.name}${offered.note ? ` (${offered.note})` : ""}`;
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
