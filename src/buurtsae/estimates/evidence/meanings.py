"""What each kind of check looks at, and what it means when the data lie too low or too high."""

from __future__ import annotations

from collections.abc import Mapping

from buurtsae.notes import Note

KINDS: Mapping[str, Note] = {
    "spread": Note("spread of left-out direct estimates, mean z²", "spreiding van weggelaten directe cijfers, z²"),
    "trend": Note("trend in that spread", "verloop van die spreiding"),
    "level": Note("level of left-out direct estimates, mean z", "niveau van weggelaten directe cijfers, z"),
    "shape": Note("shape of the left-out deviations (Kolmogorov)", "vorm van de afwijkingen (Kolmogorov)"),
    "tails": Note("tails of the left-out deviations (kurtosis)", "uitschieters onder de afwijkingen (kurtosis)"),
    "zeros": Note(
        "share of areas with a count of 0, less the predicted", "deel met een aantal van 0, min het voorspelde"
    ),
    "calibration": Note("level by class of the predicted share, mean z²", "niveau naar voorspeld aandeel, z²"),
    "group": Note("means of areas left out as a whole", "gemiddelden van gebieden die in hun geheel zijn weggelaten"),
    "apart": Note("one such mean beside the others", "één zo'n gemiddelde naast de andere"),
    "component": Note("level of a part of the graph", "niveau van een los deel van de burengraaf"),
    "residents": Note("pattern over residents", "patroon naar aantal inwoners"),
    "bend": Note("bend in the effect of a covariate", "kromming in het effect van een kenmerk"),
    "neighbours": Note("what neighbours have in common", "wat buren gemeen hebben"),
    "years": Note("what an area has in a year and in others", "wat een gebied in een jaar en in andere jaren heeft"),
    "forgotten": Note(
        "answers by a characteristic of persons that is no term, mean z²",
        "antwoorden naar een kenmerk van personen dat geen effect is, z²",
    ),
    "interaction": Note("answers by two characteristics together, mean z²", "antwoorden naar twee kenmerken samen, z²"),
    "cluster": Note("what persons of one cluster have in common", "wat personen van één cluster gemeen hebben"),
}
_BENT = Note(
    "the effect of this covariate is not a straight line: use a smooth effect or a transformation",
    "het effect van dit kenmerk is geen rechte lijn: gebruik een vloeiend effect of een transformatie",
)
_SIZE = Note(
    "scores go with the number of residents in a way that the model lacks: add it as a covariate, and let the spread "
    "depend on residents",
    "scores hangen samen met het aantal inwoners op een manier die het model mist: voeg het toe als kenmerk, en laat "
    "de spreiding van het aantal inwoners afhangen",
)
_GROUPS = Note(
    "some of these areas lie further from the rest than the model allows: add an effect of the level, look for a break "
    "in the data or the region",
    "sommige van deze gebieden liggen verder van de rest dan het model toelaat: voeg een effect van dit niveau toe, en "
    "zoek een breuk in de gegevens of de regio",
)
_APART = Note(
    "one of these areas lies apart from the others: look whether its data are right and what is different there, and "
    "give it a covariate of its own if something is",
    "één van deze gebieden valt buiten de andere: kijk of de gegevens er kloppen en wat er anders is, en geef het zo "
    "nodig een eigen kenmerk",
)
_EVEN = Note(
    "the areas lie about equally far from the rest, none stands out: look for two kinds of areas, or a break between "
    "them",
    "de gebieden liggen ongeveer even ver van de rest, geen springt eruit: zoek twee soorten gebieden, of een breuk "
    "ertussen",
)
_ALIKE = Note(
    "these areas differ less than the model says: its spread is too wide, look at the priors",
    "deze gebieden verschillen minder dan het model zegt: de spreiding is te ruim, kijk naar de priors",
)
_PARTS = Note(
    "parts of the graph lie further apart than the model allows: give each part a level of its own",
    "losse delen van de burengraaf liggen verder uiteen dan het model toelaat: geef elk deel een eigen niveau",
)
_SHAPE = Note(
    "deviations are not normal: look for a few odd areas, unequal variances or a missing covariate",
    "de afwijkingen zijn niet normaal verdeeld: zoek enkele vreemde gebieden, ongelijke varianties of een ontbrekend "
    "kenmerk",
)
_LEVELS = Note(
    "answers by level lie nearer to what was predicted than chance allows: numbers of respondents are understated, or "
    "answers depend on each other",
    "antwoorden per niveau liggen dichter bij het voorspelde dan toeval toelaat: de aantallen respondenten zijn te "
    "klein opgegeven, of antwoorden hangen van elkaar af",
)
MEANINGS: Mapping[str, tuple[Note, Note]] = {  # too low, too high
    "forgotten": (
        _LEVELS,
        Note(
            "answers depend on this characteristic, which the model lacks: add a term, or figures are biased where "
            "respondents differ from residents in it",
            "antwoorden hangen van dit kenmerk af, dat het model mist: voeg een effect toe, anders zijn cijfers "
            "vertekend waar respondenten er anders in verdeeld zijn dan inwoners",
        ),
    ),
    "interaction": (
        _LEVELS,
        Note(
            "what one of these does depends on the other: add a term of both, such as Factor((one, other))",
            "wat het ene doet hangt van het andere af: voeg een effect van beide toe, zoals Factor((een, ander))",
        ),
    ),
    "cluster": (
        _LEVELS,
        Note(
            "persons of one cluster answer alike: add a term Cluster, or intervals are too narrow",
            "personen van één cluster antwoorden hetzelfde: voeg een effect Cluster toe, anders zijn intervallen te "
            "smal",
        ),
    ),
    "trend": (
        Note(
            "deviations are larger where numbers are small: let the spread between areas depend on residents, and look "
            "at the sampling variances of few respondents",
            "afwijkingen zijn groter waar de aantallen klein zijn: laat de spreiding tussen gebieden van het aantal "
            "inwoners afhangen, en bekijk de steekproefvarianties van weinig respondenten",
        ),
        Note(
            "deviations are larger where numbers are large: sampling variances of many respondents may be understated, "
            "by clusters for instance, or those of few overstated",
            "afwijkingen zijn groter waar de aantallen groot zijn: de steekproefvarianties van veel respondenten "
            "kunnen te klein zijn opgegeven, bijvoorbeeld door clusters, of die van weinig te groot",
        ),
    ),
    "spread": (
        Note(
            "direct estimates lie nearer to their predictions than stated: sampling variances are overstated, or the "
            "spread between areas is; intervals may be too narrow elsewhere",
            "directe cijfers liggen dichter bij hun voorspelling dan het model zegt: de steekproefvarianties zijn te "
            "groot opgegeven, of de spreiding tussen gebieden; intervallen kunnen elders te smal zijn",
        ),
        Note(
            "direct estimates deviate more from their predictions than stated, so intervals here are too narrow: look "
            "for clusters that the design leaves out, spread that depends on residents, a missing covariate",
            "directe cijfers wijken meer van hun voorspelling af dan het model zegt, en intervallen zijn hier te smal: "
            "zoek clusters die niet in het design staan, spreiding die van het aantal inwoners afhangt, een ontbrekend "
            "kenmerk",
        ),
    ),
    "level": (
        Note(
            "direct estimates lie below their predictions here: an effect may be bent, or a covariate missing",
            "directe cijfers liggen hier onder hun voorspelling: een effect kan krom zijn, of een kenmerk ontbreken",
        ),
        Note(
            "direct estimates lie above their predictions here: an effect may be bent, or a covariate missing",
            "directe cijfers liggen hier boven hun voorspelling: een effect kan krom zijn, of een kenmerk ontbreken",
        ),
    ),
    "shape": (_SHAPE, _SHAPE),
    "tails": (
        Note(
            "there are fewer outliers than the model says: look for scores at the ends of the scale",
            "er zijn minder uitschieters dan het model zegt: kijk of scores aan de rand van de schaal liggen",
        ),
        Note(
            "there are more outliers than the model says: allow for heavy tails, or look at the areas that stand out",
            "er zijn meer uitschieters dan het model zegt: sta zware staarten toe, of bekijk de gebieden die opvallen",
        ),
    ),
    "zeros": (
        Note(
            "fewer areas count nobody than predicted: counts differ less than the model says, or zeros were left out",
            "minder gebieden dan voorspeld tellen niemand: aantallen verschillen minder dan het model zegt, of nullen "
            "zijn weggelaten",
        ),
        Note(
            "more areas count nobody than predicted: look for clusters that the numbers do not reflect (effective "
            "numbers), or areas of another kind",
            "meer gebieden dan voorspeld tellen niemand: zoek clusters die niet in de aantallen zitten (effectieve "
            "aantallen), of gebieden van een andere soort",
        ),
    ),
    "calibration": (
        Note(
            "classes of predictions lie nearer to what was predicted than chance allows: numbers are understated",
            "klassen van voorspellingen liggen dichter bij het voorspelde dan toeval toelaat: de aantallen zijn te "
            "klein opgegeven",
        ),
        Note(
            "where low or high shares are predicted others are observed: an effect may be bent, or a covariate missing",
            "waar lage of hoge aandelen zijn voorspeld worden andere waargenomen: een effect kan krom zijn, of een "
            "kenmerk ontbreken",
        ),
    ),
    "group": (_ALIKE, _GROUPS),
    "apart": (_EVEN, _APART),
    "component": (_ALIKE, _PARTS),
    "residents": (_SIZE, _SIZE),
    "bend": (_BENT, _BENT),
    "years": (
        Note(
            "the year goes with the other years less than the model says: look whether its areas are those of the "
            "other years (codes, a join), and for a change of questions or mode",
            "het jaar gaat minder samen met de andere jaren dan het model zegt: kijk of de gebieden die van de andere "
            "jaren zijn (codes, een koppeling), en naar andere vragen of een andere manier van vragen",
        ),
        Note(
            "the year has more in common with the other years than the model says: what stays has a pattern that is "
            "left, add a covariate or an effect",
            "het jaar heeft meer met de andere jaren gemeen dan het model zegt: in wat blijft is een patroon over, "
            "voeg een kenmerk of een effect toe",
        ),
    ),
    "neighbours": (
        Note(
            "neighbours are less alike than the model says: leave the spatial effect out, or look for a seam in the "
            "data",
            "buren lijken minder op elkaar dan het model zegt: laat het ruimtelijke effect weg, of zoek een naad in de "
            "gegevens",
        ),
        Note(
            "neighbours have more in common than the model says: a spatial pattern is left, add a spatial effect",
            "buren hebben meer gemeen dan het model zegt: er is een ruimtelijk patroon over, voeg een ruimtelijk "
            "effect toe",
        ),
    ),
}
