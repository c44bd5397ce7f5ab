"""The model card, for people (mini.md) and for the package (mini.json)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .evaluate import perplexity_of_sequence
from .families import LETTERS, Family, query_states
from .network import Network, Shape
from .recipe import EXAMPLES
from .recognition import background
from .train import Settings
from .weights import VERSION

TEMPLATE = Path(__file__).with_name("card_template.md")
CREDITS = (
    "The sequences come from UniProt (CC BY 4.0, UniProt Consortium) by way of Pfam (CC0); the structures, "
    "used for scoring, in one choice between recipes and to fit the contact head, from the Protein Data Bank "
    "(CC0)."
)


def known_family(family: Family, line: dict, composition: np.ndarray, network: Network) -> dict:
    """Make the entry of one family in mini.json."""
    states = query_states(family)
    entry = {
        "id": family.id,
        "name": family.record["name"],
        "pfam": family.record.get("pfam"),
        "pdb_id": family.record["pdb_id"],
        "chain": family.record["chain"],
        "query": family.query,
        "length": family.length,
        "trained": line["trained"],
        "query_pseudo_perplexity": perplexity_of_sequence(network, states),
        "query_background_perplexity": float(np.exp(-np.log(composition[states.numpy()]).mean())),
        "held_out_pseudo_perplexity": line["mini_perplexity"],
        "held_out_profile_perplexity": line["profile_perplexity"],
        "precision_at_l": line["mini_precision"],
        "p_at_l": line["p_at_l"],
        "contact_head_precision_at_l": line["head_precision_0_masked"],
        "contact_head_out_of_fold": line.get("head_out_of_fold"),
        "head_in_sample": bool(line["trained"]) and family.id not in EXAMPLES,
    }
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in entry.items()}


def write_json(
    path: Path, families: Sequence[Family], lines: Sequence[dict], network: Network, shape: Shape
) -> None:
    """Write mini.json: `families` is what the model knows, `untrained_families` what it never saw."""
    by_id = {line["id"]: line for line in lines}
    composition = background([family for family in families if by_id[family.id]["trained"]])
    entries = [known_family(family, by_id[family.id], composition, network) for family in families]
    content = {
        "format": "catjac-mini",
        "version": VERSION,
        **shape.as_dict(),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "background": {
            letter: round(float(share), 5) for letter, share in zip(LETTERS, composition, strict=True)
        },
        "families": [entry for entry in entries if entry["trained"]],
        "untrained_families": [entry for entry in entries if not entry["trained"]],
        "credits": CREDITS,
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def table(lines: Sequence[dict]) -> str:
    """Show all families as a Markdown table, trained ones first."""
    rows = [
        "| family | trained | L | p_at_l | Potts | mini | mini / p_at_l | without distillation | head | "
        "perplexity: profile | Potts | mini |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for line in sorted(lines, key=lambda line: (not line["trained"], line["length"])):

        def number(name: str, digits: int = 2, line: dict = line) -> str:
            value = line.get(name)
            return "" if value in (None, "") else f"{float(value):.{digits}f}"

        rows.append(
            " | ".join(
                [
                    f"| {line['id']}",
                    "yes" if line["trained"] else "no",
                    str(line["length"]),
                    number("p_at_l"),
                    number("potts_precision"),
                    number("mini_precision"),
                    number("ratio_to_p_at_l"),
                    number("plain_precision"),
                    number("head_out_of_fold") or number("head_precision_0_masked"),
                    number("profile_perplexity", 1),
                    number("potts_perplexity", 1),
                    number("mini_perplexity", 1),
                ]
            )
            + " |"
        )
    return "\n".join(rows)


def robustness(lines: Sequence[dict]) -> str:
    """Show means over the trained families of the scores under masks, on crops and on homologues."""
    trained = [line for line in lines if line["trained"]]
    names = {
        "mini_precision": "Jacobian, whole query",
        "mini_precision_50_masked": "Jacobian, 50 % masked, visible pairs",
        "mini_precision_90_masked": "Jacobian, 90 % masked, visible pairs",
        "mini_precision_crops": "Jacobian, first and last fifth cut off in turn",
        "mini_precision_flanked": "Jacobian, between two stretches of 20 random residues",
        "mini_precision_ungapped": "Jacobian, held-out homologues without their gaps",
        "mini_precision_shuffled": "Jacobian, control: the query's letters shuffled",
        "head_precision_0_masked": "contact head, whole query",
        "head_precision_50_masked": "contact head, 50 % masked, all pairs",
        "head_precision_90_masked": "contact head, 90 % masked, all pairs",
        "head_precision_shuffled": "contact head, control: the query's letters shuffled",
    }
    strengths = {
        "mini_strength_shuffled": "Jacobian of the shuffled query, root mean square over the query's",
        "head_contacts_0_masked": "contacts a residue that the head expects (most: baseline), whole query",
        "head_contacts_50_masked": "the same, 50 % masked",
        "head_contacts_90_masked": "the same, 90 % masked",
        "head_contacts_shuffled": "the same, the query's letters shuffled",
    }

    def lines_of(names: dict[str, str]) -> list[str]:
        means = {name: np.nanmean([float(line[name]) for line in trained]) for name in names}
        return [f"| {text} | {means[name]:.2f} |" for name, text in names.items()]

    rows = ["| map | mean precision@L |", "|---|--:|", *lines_of(names), ""]
    rows += ["| strength | mean |", "|---|--:|", *lines_of(strengths)]
    return "\n".join(rows)


def answers(curves: Sequence[dict]) -> str:
    """Show means over the trained families of what comes back and what is left under a mask."""
    rows = [
        "| visible residues | families | R, stretch | R, scattered | left elsewhere, stretch | scattered |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for visible in sorted({line["visible"] for line in curves}):
        at = [line for line in curves if line["visible"] == visible]
        cells = [
            np.nanmean([line[name] for line in at if line["pattern"] == pattern])
            for name in ("R", "left")
            for pattern in ("flanking", "random")
        ]
        number = len({line["id"] for line in at})
        rows.append(f"| {visible} | {number} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")
    return "\n".join(rows)


def write_markdown(
    path: Path,
    lines: Sequence[dict],
    curves: Sequence[dict],
    settings: Settings,
    seed: int,
    minutes: float,
    network: Network,
    plain_steps: int,
    origin: str,
) -> None:
    """Write mini.md; origin says what the run began with, a sentence or nothing."""
    shape, trained = settings.shape, [line for line in lines if line["trained"]]
    text = TEMPLATE.read_text(encoding="utf-8").format(
        layers=shape.num_layers,
        width=shape.embed_dim,
        heads=shape.attention_heads,
        parameters=sum(parameter.numel() for parameter in network.parameters()) / 1e6,
        trained=len(trained),
        passing=sum(bool(line["passes"]) for line in trained),
        plain_steps=plain_steps,
        origin=origin,
        plain_behind=sum(line.get("plain_perplexity", 0) > line["profile_perplexity"] for line in trained),
        table=table(lines),
        robustness=robustness(lines),
        answers=answers(curves),
        seed=seed,
        minutes=minutes,
        credits=CREDITS,
        **vars(settings.weights),
        **{name: value for name, value in vars(settings).items() if name not in ("weights", "shape")},
    )
    path.write_text(text, encoding="utf-8")
