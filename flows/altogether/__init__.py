"""Altogether: image captioning via re-aligning alt-text (Xu et al. 2024, arXiv 2410.17251).

Attempted here: names of drawings re-aligned. The captioner edits an existing alt-text so that it fits the image,
pre-trained on alt-texts and tuned on their corrections, with a decoder from scratch or a pretrained one, against what a
copy and a neighbour give for nothing; what of a wrong alt-text it repairs and of a right one it keeps; what it does
with other people's pictures; and what its captions do for the training of a dual encoder. Not attempted: the paper's
images of the web, its annotators (the levels are composed from published texts), its pretrained models with 1.3 billion
parameters, and text-to-image.
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
        Scale("pre-training pairs", paper="22,807,024", here=Profiles("about 1,000", "about 12,000", "about 12,000")),
        Scale(
            "corrected records",
            paper="15,448 for training, 500 for the test, written by people in three rounds",
            here=Profiles("about 1,700 and 1,000", "about 19,000 and 6,600", "about 19,000 and 6,600"),
        ),
        Scale(
            "a caption",
            paper="a paragraph by a person",
            here="a name, a kind and up to six words, composed from lists by people",
        ),
        Scale("image encoder", paper="MetaCLIP ViT-H/14, 224 px", here="EfficientNet-lite0, 4.7M parameters, 128 px"),
        Scale(
            "decoder",
            paper="OPT-1.3B, pretrained, all of it tuned",
            here="2 layers of width 128, from scratch, with a pointer; and SmolLM2-135M, pretrained, with an adapter",
        ),
        Scale("visual, alt and caption tokens", paper="40, 128 and 192", here="8, 24 and 48"),
        Scale(
            "steps of tuning",
            paper="2 epochs",
            here=Profiles(
                "8 or 16 of 16 records",
                "as many of 300, 600 and 1,200 as are best on validation, 64 records each",
                "as many of 800, 1,600 and 3,200 as are best on validation, 64 records each",
            ),
        ),
        Scale("pairs for CLIP training", paper="billions", here=Profiles("about 900", "about 6,000", "about 6,000")),
        Scale(
            "seeds", paper="1", here=Profiles("1", "8; of the pretrained decoder 1", "8; of the pretrained decoder 2")
        ),
    ],
    tables=[
        Table(
            title="Captions of new concepts",
            rows="shown",
            quantities=(
                "f1",
                "new_f1",
                "name_f1",
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
        Table(title="Loss on validation by the steps of training", rows="arm", quantities=("loss",), columns="steps"),
        Table(
            title="F1 on validation by how captions are written",
            rows="writing",
            quantities=("dev_f1",),
            columns="arm",
        ),
        Table(title="Zero-shot classification", rows="p", quantities=("zero_shot",), columns="domain"),
        Table(title="Retrieval of pictures by name", rows="p", quantities=("retrieval",), columns="domain"),
        Table(title="What a probe reads", rows="probe", quantities=("accuracy",), columns="attribute"),
    ],
    caveats=[
        "The captions are names of drawings, with a kind of thing and some words, composed from published names and "
        "keywords; no person wrote them for these pictures, and they are not rounds of annotation.",
        "Alt-texts that are the very name of their concept are scored in a domain of their own: to copy them is to "
        "give the answer. An earlier run had them in every claim.",
        "The decoder from scratch copies no name that it has not met, so that in half of its training batches the "
        "names that alt-text and reference share are replaced in both. The paper's decoder is pretrained on the web's "
        "text and needs nothing of the kind, nor does the one here that is.",
        "How long captioners train and how they write is chosen on validation concepts by the seed 0, for each arm by "
        "itself. What is claimed of an arm that still learns, or that has not learnt to write, is withheld.",
        "The pretrained decoder is trained once, for as long as an hour holds: what is claimed of it is about that "
        "very captioner.",
        "All captioners see by one frozen dual encoder, as the paper's do by one MetaCLIP.",
        "The paper's tables and sections are named by what they show, for figures are from memory or not at hand.",
        "Clip art from Openclipart is read in pre-training alone. The stamps are photographs as well as drawings, and "
        "their sentences of a few words no captioner was tuned towards. Where Debian's packages cannot be had, both "
        "are left out.",
        "The scorer's similarity is that of a small dual encoder trained on another drawing style's pictures of the "
        "training concepts. It is no CLIP score.",
        "The captions that dual encoders read come from one captioner tuned on the other half of the training "
        "concepts, whose own half they do not read. These claims were judged before, on pictures of which most are the "
        "same.",
    ],
    findings=["the-picture-adds", "captions-beat-copy-and-neighbour"],
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
        Plot("Would more steps of training help?", "curves", x="steps", y="loss", y_is_better="lower"),
    ],
)
