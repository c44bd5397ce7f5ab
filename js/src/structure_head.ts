// The head of the structure: what it shows, by what it is coloured; it also tells the kernel whether the page is dark.

import { readTheme, watchTheme } from "./canvas";
import { Undo, type Model, type RenderContext } from "./model";
import { make } from "./text";

class StructureHead {
  private readonly undo = new Undo();
  private readonly title = make("div", "cj-title");
  private readonly caption = make("div", "cj-caption");
  private readonly choice = make("select", "cj-choice", "", { "aria-label": "colour by" });
  private readonly box = make("input", "", "", { type: "checkbox" });
  private readonly lines = make("label", "cj-control cj-check");
  private readonly error = make("div", "cj-error", "", { role: "alert" });

  constructor(
    private readonly model: Model,
    private readonly el: HTMLElement,
  ) {
    el.classList.add("catjac", "cj-structure");
    const head = make("div", "cj-head");
    const titles = make("div", "cj-titles");
    titles.append(this.title, this.caption);
    this.lines.append(this.box, document.createTextNode("contacts"));
    const colour = make("label", "cj-control");
    colour.append(make("span", "cj-name", "Colour"), this.choice);
    head.append(titles, colour, this.lines);
    el.replaceChildren(head, this.error);
    this.undo.listen(this.choice, "change", () => this.set("colour_by", this.choice.value));
    this.undo.listen(this.box, "change", () => this.set("show_contacts", this.box.checked));
    this.undo.on(model, ["change:title", "change:caption", "change:tracks", "change:colour_by", "change:show_contacts", "change:problem"], () => this.words());
    this.words();
    this.undo.add(watchTheme(() => this.tellTheme()));
    this.tellTheme();
  }

  private set(name: string, value: unknown): void {
    this.model.set(name, value);
    this.model.save_changes();
  }

  private tellTheme(): void {
    const { dark, surface } = readTheme(this.el);
    const ground = "#" + surface.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("");
    if (this.model.get<string>("ground") !== ground) this.set("ground", ground);
    this.el.dataset.dark = String(dark);
  }

  private words(): void {
    const { model } = this;
    this.title.textContent = model.get<string>("title");
    this.caption.textContent = model.get<string>("caption");
    const names = model.get<string[]>("tracks");
    this.choice.replaceChildren(...names.map((name) => make("option", "", name)));
    this.choice.value = model.get<string>("colour_by");
    this.box.checked = model.get<boolean>("show_contacts");
    const problem = model.get<string>("problem");
    this.error.textContent = problem;
    this.error.hidden = !problem;
    this.choice.parentElement!.hidden = this.lines.hidden = Boolean(problem);
  }

  dispose(): void {
    this.undo.run();
    this.el.replaceChildren();
  }
}

function render({ model, el }: RenderContext): () => void {
  const view = new StructureHead(model, el);
  return () => view.dispose();
}

export default { render };
