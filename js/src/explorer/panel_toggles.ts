// Which panels of an explorer are shown: one button each.

import { isLive, sharedState, Undo, type Model, type RenderContext } from "../shared/model";
import { make } from "../shared/text";

class PanelToggles {
  private readonly undo = new Undo();
  private readonly row = make("div", "cj-toggles", "", { role: "group", "aria-label": "panels" });
  private readonly why = make("span", "cj-why");

  constructor(
    private readonly model: Model,
    private readonly state: Model,
    private readonly el: HTMLElement,
  ) {
    el.classList.add("catjac", "cj-panels");
    for (const [name, text] of model.get<[string, string][]>("choices")) {
      const button = make("button", "cj-toggle", text, { type: "button" });
      button.dataset["panel"] = name;
      this.undo.listen(button, "click", () => this.press(name));
      this.row.append(button);
    }
    this.row.append(this.why);
    el.replaceChildren(this.row);
    this.undo.on(state, ["change:panels"], () => this.show());
    this.undo.on(model, ["change:absent"], () => this.show());
    this.show();
  }

  private press(name: string): void {
    const shown = this.state.get<string[]>("panels");
    const names = this.model.get<[string, string][]>("choices").map(([choice]) => choice);
    this.state.set("panels", shown.includes(name) ? shown.filter((other) => other !== name) : names.filter((other) => other === name || shown.includes(other)));
    this.state.save_changes();
  }

  private show(): void {
    const shown = this.state.get<string[]>("panels");
    const absent = this.model.get<Record<string, string>>("absent");
    // Panels are made in the kernel.
    this.el.hidden = !isLive(this.model);
    for (const button of this.row.querySelectorAll("button")) {
      const name = button.dataset["panel"]!;
      const problem = absent[name];
      button.disabled = problem !== undefined;
      button.title = problem ?? (shown.includes(name) ? "Hide this panel" : "Show this panel");
      button.setAttribute("aria-pressed", String(problem === undefined && shown.includes(name)));
    }
    this.why.textContent = Object.values(absent).join(" ");
  }

  dispose(): void {
    this.undo.run();
    this.el.replaceChildren();
  }
}

async function render({ model, el }: RenderContext): Promise<() => void> {
  const view = new PanelToggles(model, await sharedState(model), el);
  return () => view.dispose();
}

export default { render };
