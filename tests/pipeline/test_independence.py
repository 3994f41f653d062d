"""gliner and setfit_textcat in processes where transformers and its relatives are not installed."""

import subprocess
import sys
from pathlib import Path

BUNDLED = "bundled"

# Neither modules nor metadata, hence no entry points either: spaCy imports those of all packages.
HIDE = """
import importlib.metadata, sys
HIDDEN = {"transformers", "spacy-transformers", "sentencepiece", "protobuf", "tiktoken"}
PEERS = {"google.protobuf", "sentence_transformers", "setfit", "gliner"}
for name in HIDDEN - {"protobuf"} | PEERS:
    sys.modules[name.replace("-", "_")] = None
discover = importlib.metadata.Distribution.discover.__func__
def without_hidden(cls, **options):
    for found in discover(cls, **options):
        if found.metadata["Name"].lower().replace("_", "-") not in HIDDEN:
            yield found
importlib.metadata.Distribution.discover = classmethod(without_hidden)
"""

GLINER = """
import spacy
from spacy.training import Example
folder, saved = sys.argv[1:]
config = {"model": {"name": folder}, "labels": ["person", "city"], "device": "cpu"}
nlp = spacy.blank("en")
nlp.add_pipe("gliner", config=config)
text = "Ada Lovelace lived in London."
def entities(nlp):
    return [(ent.text, ent.label_) for ent in nlp(text).ents]
assert entities(nlp) == [("Ada Lovelace", "person"), ("London", "city")]
examples = [Example.from_dict(nlp.make_doc(text), {"entities": [(0, 12, "person")]})]
optimizer = nlp.initialize(lambda: examples)
losses = {}
for _ in range(2):
    nlp.update(examples, sgd=optimizer, losses=losses)
assert losses["gliner"] > 0
nlp.to_disk(saved)
assert entities(spacy.load(saved)) == entities(nlp)
"""

SETFIT = """
import spacy
from pathlib import Path
from spacy_modernbert.encoder.bert import Bert
from spacy_modernbert.encoder.bert_config import BertConfig
from spacy_modernbert.encoder.checkpoint import Checkpoint, save_encoder
from spacy_modernbert.text.tokenizer_training import train_tokenizer
from tests.conftest import TEXTS
from tests.pipeline.setfit_data import TOPICS, cats, gold, make
folder, saved = sys.argv[1:]
tokenizer = train_tokenizer(TEXTS, vocab_size=400, max_length=64)
config = BertConfig(
    vocab_size=tokenizer.vocab_size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    intermediate_size=48, max_position_embeddings=64,
)
save_encoder(Checkpoint(Bert(config), tokenizer), Path(folder))
nlp = make(folder)
examples = gold(nlp)
nlp.initialize(lambda: examples)
assert set(cats(nlp)[0]) == set(TOPICS)
nlp.to_disk(saved)
assert cats(spacy.load(saved)) == cats(nlp)
"""

SHARED = """
import importlib, spacy
try:
    spacy.blank("en").add_pipe("modernbert")
except ImportError as error:
    print(error)
for name in ("component", "listeners", "model", "pooling", "tok2vec"):
    try:
        importlib.import_module(f"spacy_modernbert.pipeline.transformer.{name}")
    except ImportError as error:
        print(error)
"""

LIGHT = """
import spacy
nlp = spacy.blank("en")
before = set(sys.modules)
config = {"model": {"name": sys.argv[1]}, "labels": ["person", "city"], "device": "cpu"}
nlp.add_pipe("gliner", config=config)
assert len(nlp("Ada Lovelace lived in London.").ents) == 2
added = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(added & {"transformers", "sklearn", "scipy", "pandas", "datasets", "matplotlib"}))
print("torch" in sys.modules)
"""


def run(program, *arguments):
    command = [sys.executable, "-c", HIDE + program, *map(str, arguments)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bundled_gliner_predicts_trains_is_saved_and_loaded(tmp_path):
    run(GLINER, BUNDLED, tmp_path)


def test_setfit_textcat_on_a_bert_trains_predicts_is_saved_and_loaded(tmp_path):
    run(SETFIT, tmp_path / "bert", tmp_path / "saved")


def test_shared_encoder_says_what_to_install():
    found = run(SHARED).splitlines()
    assert len(found) == 6
    for line in found:
        assert "SM031" in line
        assert "pip install 'spacy-transformers" in line


def test_torch_is_the_only_heavy_import_of_a_first_entity():
    heavy, torch_loaded = run(LIGHT, BUNDLED).splitlines()
    assert (heavy, torch_loaded) == ("[]", "True")
