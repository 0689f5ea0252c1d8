"""Nouns that first sentences use to say what something is, and the coarse type of each."""


def words(*lines: str) -> frozenset[str]:
    """The words of some text, as a set."""
    return frozenset(" ".join(lines).split())


_NOUNS = {
    "person": """
        activist actor actress administrator admiral adventurer anarchist animator anthropologist apostle archaeologist
        archbishop architect aristocrat artist astronaut astronomer athlete author autocrat aviator bacteriologist
        ballerina banker biochemist biologist bishop botanist boxer broadcaster businessman businesswoman
        businessperson caliph calligrapher cardinal cartographer caudillo chancellor chemist chieftain choreographer
        churchman cinematographer clergyman cleric comedian commander commentator communist composer computer-scientist
        conductor conqueror conquistador consort cosmologist cosmonaut craftsman cricketer criminal critic
        crystallographer cyclist dancer designer dictator diplomat director disciple dissident doctor dramatist
        draughtsman driver duke dramaturge earl ecologist economist editor educator egyptologist emir emperor empress
        engineer engraver entertainer entomologist entrepreneur essayist ethnographer ethnologist ethnomusicologist
        evangelist executive explorer fashion-designer feminist filmmaker footballer founder friar general
        geneticist geographer geologist geometer golfer governor grandmaster guitarist guru gymnast harpsichordist
        heir heiress hermit historian humanist humanitarian humorist hydrologist illustrator imam immunologist
        impresario industrialist inventor investor journalist judge jurist khan king kickboxer lama landowner laureate
        lawgiver lawyer leader librettist lexicographer linguist logician lyricist magnate mathematician meteorologist
        microbiologist midwife missionary mogul monarch monk moralist musician musicologist mystic mythographer
        nationalist naturalist naturopath navigator neurologist neuroscientist nobleman noblewoman novelist nun nurse
        oceanographer officer official orator organist ornithologist painter paleontologist palaeontologist patriarch
        patriot pathologist pedagogue pharaoh pharmacologist philanthropist philologist philosopher photographer
        physician physicist physiologist pianist pilot pioneer pirate player playwright poet politician polymath pope
        preacher prelate president priest primatologist prince princess printer printmaker producer professor
        programmer prophet proselytizer psychiatrist psychoanalyst psychologist publisher publicist queen rabbi rapper
        rebel reformer regent religious-leader researcher revolutionary ruler runner saint satirist scholar scientist
        screenwriter scribe sculptor seamstress secretary semiotician sexologist shah shogun showman singer
        singer-songwriter skater sociologist soldier songwriter sovereign spy sprinter statesman stateswoman
        statesperson statistician storyteller strategist suffragist suffragette sultan surgeon surveyor swimmer
        teacher tenor theologian theorist theoretician theosophist translator traveler traveller tsar tycoon
        violinist virologist virtuoso viscount voivode vocalist warlord warrior wrestler writer youtuber zoologist
        baron count footballer midfielder forward striker bassist drummer trumpeter saxophonist bandleader soprano
        raja maharaja vizier satrap tribune consul senator senator congressman prime-minister minister inca
        noble freedom-fighter abolitionist blogger hacker personality celebrity socialite courtier courtesan
        businessperson philhellene aerodynamicist metallurgist agronomist demographer ethologist hellenist
        mountaineer racer pitcher baseballer quarterback sportsman sportswoman jockey fencer marshal field-marshal
        colonel lieutenant commodore corsair healer alchemist astrologer physiocrat epidemiologist""",
    "place": """
        city town village country nation state province region area island archipelago peninsula continent river lake
        sea ocean strait gulf bay mountain volcano stratovolcano range massif peak hill plateau plain desert valley
        basin waterfall canal waterway watercourse lagoon delta cape headland park borough district municipality
        county prefecture territory subregion metropolis capital site building skyscraper tower bridge dam temple
        cathedral church mosque basilica monastery abbey palace castle fortress citadel fort museum square street
        stadium theatre theater mausoleum tomb pyramid monument memorial statue observatory airport port harbour
        harbor library forest rainforest savanna reef ecoregion glacier oasis steppe tundra hub settlement suburb
        neighbourhood neighborhood microstate subcontinent collectivity dependency oblast krai voivodeship commune
        reservoir spring crater canyon trench ridge cave grotto seaport isthmus channel inlet fjord estuary
        constellation galaxy planet moon star asteroid nebula satellite exoplanet comet supercontinent landmass
        shrine pagoda stupa amphitheatre aqueduct wall road highway railway necropolis ruin burgh landform
        geopolitical-region sheikhdom city-state supernova pulsar quasar exclave enclave skyline landmark
        principality commonwealth republic monarchy constituent-country township department asterism atoll tributary
        opera-house concert-hall geoglyph cemetery garden zoo lighthouse pass borderland lowland highland upland
        tableland metropolitan-area conurbation hemisphere""",
    "organisation": """
        company corporation conglomerate university college school institution institute organization organisation
        agency league union association federation confederation society party bank newspaper magazine band orchestra
        troupe publisher-house manufacturer firm retailer airline club team army navy church denomination ministry
        court parliament assembly senate congress council commission alliance foundation academy charity network
        broadcaster-network subsidiary enterprise brand automaker label studio order sect militia police legion
        group ensemble duo quartet trio guild consortium cooperative partnership movement-organization bureau
        franchise publisher-company competition-organizer legislature cabinet fund laboratory regiment service
        caste clan tribe""",
    "work": """
        novel novella poem painting film book opera play tragedy comedy song album symphony ballet sculpture treatise
        epic text story tale fable saga drama musical mural fresco concerto sonata anthology collection encyclopedia
        dictionary essay memoir autobiography biography manuscript hymn prayer scripture gospel sitcom series
        documentary cartoon comic manga sequel trilogy narrative chronicle dialogue codex oratorio requiem mass-setting
        pamphlet manifesto satire engraving woodcut print drawing tapestry photograph aria suite composition
        publication video-game anthem altarpiece triptych cantata speech polemic miniseries engraving readymade
        document constitution treaty charter declaration law-code edict bull agreement inscription stele scroll
        waltz march single nursery-rhyme novel-sequence fairytale bildungsroman tragicomedy magnum-opus portrait""",
    "event": """
        war battle conflict siege revolution rebellion revolt uprising invasion campaign massacre genocide crusade
        coup attack bombing pandemic epidemic famine disaster earthquake eruption period era age dynasty festival
        tournament championship competition ceremony election trial crisis movement assassination raid mutiny strike
        operation expedition mission riot crash treaty-conference conference congress-event summit plague extinction
        holiday celebration pogrom purge schism engagement collapse depression renaissance epoch event offensive
        event-series withdrawal partition annexation unification exodus migration voyage regatta pilgrimage
        holocaust protest scandal fire explosion persecution wars insurgency clash skirmish confrontation civil-war
        award prize""",
    "realm": (
        "kingdom empire caliphate khanate sultanate polity civilization civilisation realm confederacy "
        "chiefdom shogunate tsardom emirate duchy polis state-society bloc"
    ),
    "people": "people ethnic-group tribe-people nomad descendant inhabitant ethnicity nationality",
    "language": "language dialect script alphabet abjad abugida syllabary creole pidgin koine",
    "deity": """
        god goddess deity hero heroine character demon monster creature spirit angel nymph figure giant titan
        superhero being villain trickster archangel demigod""",
    "organism": """
        species genus bird mammal fish plant tree shrub insect reptile amphibian rodent primate animal family phylum
        clade class subclass suborder superfamily subfamily kingdom-taxon fruit vegetable herb grass flower mushroom
        fungus bacterium virus dinosaur snake lizard spider shark whale dolphin monkey ape bear cat dog breed cattle
        horse cultivar legume vine crustacean mollusc mollusk arthropod arachnid vertebrate invertebrate organism
        seabird waterfowl raptor parrot frog toad turtle tortoise antelope deer marsupial carnivore ungulate
        carnivoran camelid bovine beetle fly moth butterfly ant bee wasp worm alga moss fern conifer cactus
        palm nut grain cereal crop spice berry taxon tribe-taxon infraorder superorder subphylum hominid hominin ray
        salamander squid octopus coral sponge cephalopod bivalve gastropod jellyfish equine canine feline weed
        pinniped cetacean bat owl eagle duck goose songbird passerine archosaur pterosaur theropod sauropod tetrapod
        microorganism protist parasite subspecies rootstock succulent evergreen waterbird landfowl shorebird wader
        lagomorph monotreme swine camel""",
    "substance": """
        element compound substance material mineral metal alloy rock gas acid salt molecule protein hormone vitamin
        drug medication medicine polymer hydrocarbon alkane fuel liquid fabric textile fiber fibre pigment dye enzyme
        gemstone crystal oxide mixture solution sugar carbohydrate lipid amino-acid neurotransmitter ion isotope
        beverage drink food dish sauce condiment cheese bread liquor wine beer spirit-drink meat seasoning dessert
        confectionery pastry soup stew sweetener oil antibiotic stimulant steroid anion cation biomolecule plastic
        metalloid nonmetal lanthanide halogen particle quark lepton boson hadron nucleotide precipitation""",
    "disease": (
        "disease disorder infection syndrome cancer condition illness injury inflammation tumor phobia disability"
    ),
    "organ": "organ gland bone muscle tissue cell organelle artery vein nerve limb appendage membrane joint tooth",
    "technology": """
        device machine instrument vehicle aircraft weapon tool engine computer software program platform spacecraft
        ship vessel watercraft warship firearm gun missile rocket telescope microscope camera fastener utensil
        implement container garment clothing furniture appliance equipment apparatus component circuit fastening
        programming-language operating-system protocol website application smartphone console robot lamp armour
        armor sword bomb probe hat shoe footwear headgear bag toy mechanism train locomotive automobile car truck
        bicycle motorcycle boat structure submarine airship helicopter airplane fighter bomber sensor battery
        amplifier transistor barrier enclosure room shelter headwear underwear file-format encyclopedia-website""",
    "sport": "sport game pastime board-game card-game puzzle dance martial-art exercise hobby combat-sport",
    "discipline": """
        branch study science field discipline subfield subdiscipline specialty art craft genre style philosophy
        ideology religion tradition school-of-thought movement denomination technique practice architecture music
        literature cuisine doctrine theology profession trade theatre-form technology""",
    "concept": """
        process system unit method theory principle concept property phenomenon theorem law equation function number
        curve shape polygon polyhedron polytope figure-shape space relationship relation operation statement belief
        measure quantity force energy radiation model algorithm data-structure layer act action activity behavior
        behaviour emotion feeling ability skill idea right tax currency calendar season day month holiday-day color
        colour symbol word letter title office position role crime offence procedure treatment interaction
        reaction effect constant formula distribution test paradox conjecture hypothesis framework policy
        government trait structure-concept stage phase cycle change wave motion surface line angle point interval
        scale rhythm note chord ratio probability form-concept institution-concept festival-concept state-of-being
        category entity object person-concept individual group-concept body representation application use event-type
        approach analysis measurement standard rule code convention philosophy-concept experience perception response
        reproduction growth development distance rate density pressure temperature mass volume frequency""",
}

COARSE: dict[str, str] = {}
"""The coarse type of a fine type (a singular noun)."""
for _coarse, _words in _NOUNS.items():
    for _word in _words.split():
        COARSE.setdefault(_word, _coarse)

TRANSPARENT = words(
    "type kind form sort variety name term example series set collection pair piece number subtype part range any "
    "variant one list style-of title-of portion system amount group"
)
"""Nouns that say nothing themselves: the head of "type of bridge" is "bridge"."""

PEOPLE = frozenset(word for word, coarse in COARSE.items() if coarse == "person")

_IRREGULAR = {
    "people": "people",
    "men": "man",
    "women": "woman",
    "mice": "mouse",
    "teeth": "tooth",
    "feet": "foot",
    "leaves": "leaf",
    "wolves": "wolf",
    "shelves": "shelf",
    "knives": "knife",
    "phenomena": "phenomenon",
    "bacteria": "bacterium",
    "fungi": "fungus",
    "cacti": "cactus",
    "taxa": "taxon",
    "phyla": "phylum",
    "genera": "genus",
    "nuclei": "nucleus",
    "nebulae": "nebula",
    "larvae": "larva",
    "algae": "alga",
    "axes": "axis",
    "geese": "goose",
    "children": "child",
    "theses": "thesis",
    "hypotheses": "hypothesis",
    "movies": "movie",
    "caves": "cave",
}
_UNCHANGED = (
    "series",
    "species",
    "subspecies",
    "ss",
    "us",
    "is",
    "chess",
    "physics",
    "mathematics",
    "ics",
    "lens",
    "gas",
)


def singular(noun: str) -> str:
    """The singular of an English noun, lower case."""
    if noun.endswith("s") and noun[:-1] in COARSE:
        return noun[:-1]
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    for ending, plain in _IRREGULAR.items():
        if ending in {"men", "women", "people"} and noun.endswith(ending) and len(noun) > len(ending) + 2:
            return noun[: -len(ending)] + plain
    if noun.endswith(_UNCHANGED):
        return noun
    if noun.endswith("ies") and len(noun) > 4:
        return noun[:-3] + "y"
    if noun.endswith(("sses", "shes", "ches", "xes", "zes", "ases", "uses")) and noun not in {
        "phases",
        "causes",
        "houses",
        "databases",
    }:
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and len(noun) > 3 else noun


def coarse_type(noun: str) -> str:
    """The coarse type of a singular noun, by its ending where the lexicon lacks it; "other" if that says nothing."""
    if noun in COARSE:
        return COARSE[noun]
    if noun.endswith(("ologist", "ographer", "wright", "woman", "ician")):
        return "person"
    if noun.endswith(("ology", "ography", "onomy", "ism")):
        return "discipline"
    return "other"
