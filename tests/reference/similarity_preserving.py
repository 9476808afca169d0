"""The similarity-preserving loss (Tung and Mori 2019, equations 1 to 4) and its gradient in float64, with a loop over the rows of
the similarities; writes similarity_preserving.json beside itself.
"""
import json
import pathlib

import torch

torch.manual_seed(7)


def similarities(embedding):
    rows = []
    for one in embedding:
        row = torch.stack([(one * other).sum() for other in embedding])
        rows.append(row / row.norm())
    return torch.stack(rows)


cases = []
for images, of_student, of_teacher in ((5, 3, 7), (4, 6, 2), (1, 3, 3)):
    # Numbers that float32 has too.
    student = torch.randn(images, of_student).double().requires_grad_()
    teacher = torch.randn(images, of_teacher).double()
    apart = similarities(teacher) - similarities(student)
    loss = (apart * apart).sum() / images**2
    loss.backward()
    cases.append({
        "student": student.tolist(), "teacher": teacher.tolist(), "loss": loss.item(), "grad": student.grad.tolist(),
    })
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases) + "\n")
