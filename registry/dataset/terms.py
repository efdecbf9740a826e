"""The terms under which the authors of DeepFashion2 give it to researchers."""

from __future__ import annotations

from typing import Final

#: Name of the terms where a machine reads them, such as in dataset cards.
TERMS_ID: Final = "deepfashion2-non-commercial-research"
#: Where the terms and the form for the password stand.
TERMS_URL: Final = "https://github.com/switchablenorms/DeepFashion2"
#: The terms in a sentence, shown beside everything that is made from the data (DF2 issues 3 and 67).
TERMS: Final = "DeepFashion2 is for non-commercial research and may not be redistributed"
#: The terms with the place where they stand.
TERMS_NOTICE: Final = f"{TERMS}: {TERMS_URL}"
#: How to cite the dataset, as BibTeX.
CITATION: Final = """\
@inproceedings{DeepFashion2,
  author    = {Yuying Ge and Ruimao Zhang and Lingyun Wu and Xiaogang Wang and Xiaoou Tang and Ping Luo},
  title     = {A Versatile Benchmark for Detection, Pose Estimation, Segmentation and Re-Identification of
               Clothing Images},
  booktitle = {CVPR},
  year      = {2019}
}"""
#: The authors, in the order of the paper.
AUTHORS: Final = ("Yuying Ge", "Ruimao Zhang", "Lingyun Wu", "Xiaogang Wang", "Xiaoou Tang", "Ping Luo")
