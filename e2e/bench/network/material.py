"""Voices and music to train on, from Debian's packages: nothing of it is kept in this repository.

`material.py FOLDER` fetches the packages into FOLDER, unpacks them there, has espeak-ng speak, and writes FOLDER/material.pickle:
{"voices": {speaker: [sound, …]}, "music": {name: sound}}, each sound 16 kHz mono in [-1, 1].
"""
import io
import pickle
import subprocess
import sys
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

RATE = 16_000
# People speaking some thirty languages, prompts and single words; and the music of waiting queues and games.
PACKAGES = [
    "asterisk-core-sounds-en-wav", "asterisk-core-sounds-es-wav", "asterisk-core-sounds-fr-wav", "asterisk-core-sounds-it-wav",
    "asterisk-core-sounds-ru-wav", "asterisk-prompt-es-co", "asterisk-prompt-fr-armelle", "klettres-data", "ktuberling-data",
    "festvox-ru", "pocketsphinx-testdata", "asterisk-moh-opsound-wav", "fillets-ng-data", "fretsonfire-songs-muldjord",
    "fretsonfire-songs-sectoid",
]
# A folder of one speaker each; {} stands for every folder there.
VOICES = [
    "asterisk/sounds/en_US_f_Allison", "asterisk/sounds/es_MX_f_Allison", "asterisk/sounds/fr_CA_f_June",
    "asterisk/sounds/it_IT_m_Carlo", "asterisk/sounds/ru_RU_f_IvrvoiceRU", "asterisk/sounds/es", "asterisk/sounds/fr",
    "klettres/*", "ktuberling/sounds/*", "festival/voices/russian/msu_ru_nsh_clunits/wav", "pocketsphinx",
]
MUSIC = ["asterisk/moh", "games/fillets-ng/music", "games/fretsonfire"]
MOST_OF_A_SPEAKER = 260
# Synthetic voices are what many people test with.
SPOKEN = {
    "en": "Yes please. Could you send it to my office before noon? The parcel never arrived. Nine one four two. Wait a moment.",
    "de": "Ja bitte. Der Zug hatte heute wieder Verspätung. Wie lange dauert die Lieferung denn noch? Moment mal.",
    "fr": "Oui merci. Le colis n'est jamais arrivé. Combien cela coûte-t-il? Attendez un instant.",
    "ru": "Да, пожалуйста. Поезд сегодня снова опоздал. Сколько это стоит? Подождите минуту.",
    "pt": "Sim, por favor. A encomenda nunca chegou. Quanto custa isso? Espere um momento.",
    "tr": "Evet lütfen. Paket hiç gelmedi. Bu ne kadar? Bir dakika bekleyin.",
    "cs": "Ano, prosím. Balík nikdy nedorazil. Kolik to stojí? Počkejte chvíli.",
    "fi": "Kyllä kiitos. Paketti ei koskaan saapunut. Paljonko se maksaa? Odottakaa hetki.",
    "el": "Ναι παρακαλώ. Το πακέτο δεν έφτασε ποτέ. Πόσο κοστίζει; Περιμένετε μια στιγμή.",
    "hu": "Igen, kérem. A csomag soha nem érkezett meg. Mennyibe kerül? Várjon egy pillanatot.",
    "id": "Ya, tolong. Paketnya tidak pernah sampai. Berapa harganya? Tunggu sebentar.",
}
VARIANTS = ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "f5"]


def at_16_khz(sound, rate):
    sound = np.asarray(sound, "f4")
    sound = sound.mean(1) if sound.ndim > 1 else sound
    common = gcd(rate, RATE)
    return sound if rate == RATE else resample_poly(sound, RATE // common, rate // common).astype("f4")


def read(path):
    try:
        sound, rate = soundfile.read(path, dtype="float32")
    except soundfile.LibsndfileError:
        return None
    return at_16_khz(sound, rate)


def sounds(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".wav", ".ogg", ".gsm", ".opus")]
    order = np.random.default_rng(1).permutation(len(files))[:MOST_OF_A_SPEAKER]
    read_ones = (read(files[at]) for at in order)
    return [sound for sound in read_ones if sound is not None and len(sound) > 0.15 * RATE and np.abs(sound).max() > 0.01]


def espeak(language, variant, speed, pitch, sentence):
    command = ["espeak-ng", "-v", f"{language}+{variant}", "-s", str(speed), "-p", str(pitch), "--stdout", sentence]
    sound, rate = soundfile.read(io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout), dtype="float32")
    return at_16_khz(sound, rate)


def synthetic():
    voices = {}
    for i, (language, text) in enumerate(SPOKEN.items()):
        for j, variant in list(enumerate(VARIANTS))[i % 2 :: 2]:
            sentences = [sentence + "." for sentence in text.replace("?", ".").replace(";", ".").split(".") if sentence.strip()]
            speed, pitch = 130 + 11 * ((3 * i + 5 * j) % 7), 25 + 9 * ((i + 3 * j) % 7)
            voices[f"espeak {language} {variant}"] = [espeak(language, variant, speed, pitch, one) for one in sentences]
    return voices


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "-o", "DPkg::Lock::Timeout=600", "download", *PACKAGES], cwd=folder, check=True)
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg", "-x", package, folder / "unpacked"], check=True)
    share = folder / "unpacked/usr/share"
    people = {path.relative_to(share).as_posix(): sounds(path) for pattern in VOICES for path in sorted(share.glob(pattern)) if path.is_dir()}
    people = {name: said for name, said in people.items() if said}
    files = [path for place in MUSIC for path in sorted((share / place).rglob("*")) if path.suffix in (".wav", ".ogg")]
    tunes = ((path.relative_to(share).as_posix(), read(path)) for path in files)
    music = {name: sound for name, sound in tunes if sound is not None and len(sound) > 5 * RATE}
    minutes = lambda sounds: sum(map(len, sounds)) / RATE / 60
    voices = people | synthetic()
    print(f"{len(people)} people, {minutes(sum(people.values(), [])):.0f} min; {len(voices) - len(people)} synthetic voices;"
          f" music {minutes(music.values()):.0f} min")
    with open(folder / "material.pickle", "wb") as out:
        pickle.dump({"voices": voices, "music": music}, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
