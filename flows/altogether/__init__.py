"""Altogether: image captioning via re-aligning alt-text (Xu et al. 2024, arXiv 2410.17251).

Attempted here: the captioner that edits an existing alt-text so that it fits the image, pre-trained on alt-texts and
tuned on their corrections in levels, against what a copy and a neighbour give for nothing; what of a wrong alt-text it
repairs and of a right one it keeps; and what its captions do for the training of a dual encoder. Not attempted: the
paper's images of the web, its annotators (the levels are composed from published texts), its pretrained models with
1.3 billion parameters, and text-to-image.
"""

from flows.altogether.claims import CLAIMS, CONTROLS
from flows.engine.paper import Paper, Plot, Profiles, Scale
from tasks.judging.results import Table

paper = Paper(
    title="Altogether: Image Captioning via Re-aligning Alt-text",
    authors="Xu et al.",
    year=2024,
    arxiv="2410.17251",
    claims=CLAIMS,
    controls=CONTROLS,
    scales=[
        Scale("pre-training pairs", paper="22,807,024", here=Profiles("989", "12,423", "12,423")),
        Scale(
            "corrected records",
            paper="15,448 for training, 500 for the test, written by people in three rounds",
            here=Profiles("1,740 and 1,021", "18,969 and 6,614", "18,969 and 6,614"),
        ),
        Scale("image encoder", paper="MetaCLIP ViT-H/14, 224 px", here="EfficientNet-lite0, 4.7M parameters, 128 px"),
        Scale(
            "decoder",
            paper="OPT-1.3B, pretrained",
            here=Profiles(
                "2 layers of width 128, from scratch, with a pointer",
                "2 layers of width 128, from scratch, with a pointer",
                "SmolLM2-135M, pretrained",
            ),
        ),
        Scale("visual, alt and caption tokens", paper="40, 128 and 192", here="8, 24 and 40"),
        Scale("pairs for CLIP training", paper="billions", here=Profiles("882", "6,162", "6,162")),
        Scale("seeds", paper="1", here=Profiles("1", "8", "8")),
    ],
    tables=[
        Table(
            title="Captions of new concepts",
            rows="shown",
            quantities=(
                "f1",
                "new_f1",
                "name_recall",
                "rare_recall",
                "phrase_f1",
                "cider_d",
                "bleu_4",
                "chrf",
                "rouge_l",
            ),
        ),
        Table(
            title="What captions keep of the alt-text and add to it",
            rows="shown",
            quantities=("kept", "added", "words", "distinct", "scorer_similarity"),
        ),
        Table(title="Captions by domain (F1)", rows="arm_by_domain", quantities=("f1",), columns="domain"),
        Table(title="F1 with the words of a held-out voice", rows="heard", quantities=("voice_f1",)),
        Table(title="Attributes read", rows="read", quantities=("accuracy",), columns="attribute"),
        Table(title="Errors of people's alt-texts that are repeated", rows="natural", quantities=("repeated",)),
        Table(
            title="Accuracy at a share of false alt-texts", rows="curve", quantities=("accuracy_at",), columns="noise"
        ),
        Table(title="Zero-shot classification", rows="p", quantities=("zero_shot",), columns="domain"),
        Table(title="Retrieval of pictures by name", rows="p", quantities=("retrieval",), columns="domain"),
        Table(title="What a probe reads", rows="probe", quantities=("accuracy",), columns="attribute"),
    ],
    caveats=[
        "The levels are composed from published names and keywords; no person wrote them for these pictures, and they "
        "are not rounds of annotation.",
        "At quick and cpu, in half of the training batches the names that alt-text and reference share are replaced in "
        "both, and keywords left out: without it a decoder that has met a thousand names copies no other. The paper's "
        "decoder is pretrained on the web's text and needs nothing of the kind.",
        "Settings were chosen on validation concepts with seed 0, after nine had been tried; when the claims were "
        "written no caption of a test concept had been seen.",
        "The paper's tables and sections are named by what they show, for figures are from memory or not at hand.",
        "Clip art from Openclipart is read in pre-training alone, which is a quarter as long as tuning. The stamps are "
        "photographs as well as drawings, and their sentences of a few words no captioner was tuned towards; nothing "
        "is claimed of them. Where Debian's packages cannot be had, both are left out.",
        "The scorer's similarity is that of a small dual encoder trained on another drawing style's pictures of the "
        "training concepts. It is no CLIP score.",
        "Seen after the run: a captioner that never sees a picture repeats people's errors less often (0.25) than the "
        "one that sees it (0.35), so that they are not repeated says nothing of reading the picture.",
        "The arm from the image alone was trained again after the claims had been judged once: names had been replaced "
        "in half of its batches too, where no picture can tell them, which made the baseline weak (F1 0.079, now "
        "0.091). No verdict changed. It is still a weak captioner: the most similar training picture's reference "
        "has 0.144.",
        "The captions that dual encoders read come from a captioner tuned on the other half of the training concepts, "
        "whose own half they do not read.",
    ],
    findings=["alt-text-helps", "beats-copy-and-neighbour"],
    plots=[
        Plot(
            "How much of what is right is said in how few words?",
            "frontier",
            x="words",
            y="f1",
            y_is_better="higher",
            without=["reference"],
        ),
        Plot(
            "Which captioners follow the picture when alt-texts are false?",
            "curves",
            x="noise",
            y="accuracy_at",
            y_is_better="higher",
        ),
    ],
)
