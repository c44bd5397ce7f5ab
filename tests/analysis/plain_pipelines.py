"""The published pipelines in plain numpy: whole arrays, one line a step, nothing shared with the package."""

from __future__ import annotations

import numpy as np


def centred(J: np.ndarray) -> np.ndarray:
    J = np.array(J, dtype=np.float64)
    for axis in range(4):
        if J.shape[axis] > 1:
            J = J - J.mean(axis=axis, keepdims=True)
    return J


def symmetric(J: np.ndarray) -> np.ndarray:
    return (J + np.transpose(J, (2, 3, 0, 1))) / 2


def norms(J: np.ndarray) -> np.ndarray:
    L, _, M, _ = J.shape
    return np.array(
        [[np.linalg.norm(np.asarray(J[i, :, j, :], dtype=np.float64)) for j in range(M)] for i in range(L)]
    )


def no_diagonal(C: np.ndarray) -> np.ndarray:
    return C * (1 - np.eye(len(C)))


def apc(C: np.ndarray) -> np.ndarray:
    out = np.zeros_like(C)
    total = C.sum()
    for i in range(len(C)):
        for j in range(len(C)):
            out[i, j] = C[i, j] - C[:, j].sum() * C[i, :].sum() / total if total else 0.0
    return out


def removed(C: np.ndarray, k: int) -> np.ndarray:
    if k == 0:
        return C
    if k == 1:
        return apc(C)
    U, S, V = np.linalg.svd(C)
    return U[:, k:] @ np.diag(S[k:]) @ V[k:, :]


def colabbio(J: np.ndarray, center: bool, symm: bool, diag: str, apc_: bool) -> np.ndarray:
    """ColabBio's ``jac_to_con`` with all its options, but for the order of letters, which no norm feels."""
    full = J.shape[1] > 1
    X = symmetric(J) if symm and full else np.array(J, dtype=np.float64)
    C = norms(centred(X) if center else X)
    if symm and not full:
        C = (C + C.T) / 2
    if diag == "remove":
        C = no_diagonal(C)
    elif diag == "normalize":
        C = C / np.sqrt(np.outer(np.diag(C), np.diag(C)))
    if apc_:
        C = apc(C)
    return no_diagonal(C) if diag == "remove" else C


def contacts(
    J: np.ndarray, order: str, diag: str = "zero", k: int = 1, *, centring: bool = True, symm: bool = True
) -> np.ndarray:
    square = J.shape[1] == J.shape[3]
    Ctr = centred if centring else np.asarray
    Sym = symmetric if symm else np.asarray
    if order == "plain":
        return norms(J)
    if order == "A":
        C = norms(Sym(Ctr(J)) if square else Ctr(J))
    elif order == "B":
        C = norms(Ctr(Sym(J)) if square else Ctr(J))
    else:
        C = norms(Ctr(J))
    if symm and (order == "C" or (order in "AB" and not square)):
        C = (C + C.T) / 2
    if diag == "zero":
        C = no_diagonal(C)
    if diag == "normalize":
        C = C / np.sqrt(np.outer(np.diag(C), np.diag(C)))
    C = removed(C, k)
    if diag == "zero":
        C = no_diagonal(C)
    return (C + C.T) / 2 if symm and order == "A'" else C
