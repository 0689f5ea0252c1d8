"""Lists of words that the linker and the makers of questions over e-mails go by."""

from tasks.concurrentqa.corpora.nouns import words

GENERIC = words("""
    already close inside outside behind names
    the a an my our this his her their its your these those that some any more nor good bad new old same other
    little few whole first second third last next following previous own only such many most best better worst
    right wrong long short big small large great real true entire very main simple single different certain
    various several recent current early late high low full free nice sure possible similar usual general
    particular special nearly exactly quite rather really actually two three four five six seven eight nine ten
    hundred thousand million dozen huge major minor obvious original final latest lot bunch couple kind sort
    type bit number time times way ways thing things one ones people person someone something anything nothing
    day days week weeks month months year years hour hours minute minutes today part parts place point points
    case cases example fact idea reason reasons problem problems question questions issue issues stuff guy guys
    man men woman women kid kids end side top bottom rest half set list message messages mail mails email emails
    post article story subject line lines below above ever just even still also then than not and but for with
    about from into while handful look view presence nature sense matter thought hand hope need use effort
    chance deal step fun love care order name help work word words term terms level state world life house home
    country group member members book will would can could should did does has have had was were are been being
    who which what when where why how all both each every either neither much less least enough lots frigging
    fucking damn bloody goddamn stupid shit crap ass sex sexual dead death kill killed rape porn nude naked
""")
"""Words that make no noun phrase worth asking about."""

UNTOLD = words("""
    result value details others future option piece feature answer moment change friend friends universe size
    opportunity results link changes cost choice path solution price variety goal means difference collection
    lack millions powers possibility experience lives rule pain mind opinion discussion situation rights hands
    majority amount combination trick decision success attempt note profile position roots benefits efforts
    impression response default cause threat interests like range knowledge show games need needs nation form
    development statement portion quote fall guess quality risk opposite forces focus effect assets works
    conflict purpose creation move challenge interest environment area break latter balance expense event trip
    chances promise hell advantage alternative heart hundreds thousands effects capability record reference
    claim views field notion existence values facts body info check speech failure unit talk guide reality
    character increase degree back evidence reminder share control extent voice aside limits happen truth mess
    factor confidence pair mean possibilities selection variations difficulty winner reports contrary location
    accuracy condition responsibility behavior basis scheme former length attack distinction mark dream scope
    spirit conflicts before strength property individual basics odds loss task drop flow corner stock demands
    sign return shape steps hole looks base mistake ends consequence distance force individuals topic assertion
    scissors settings consequences average kinds action heads losses hopes importance desire norm total
    agreement confusion fields commitment angle circumstances scenario past willingness capacity transition
    waste scene decline left rise context trial premise growth region offer face spread peace goals entry taste
    occurs favor heat comparison demonstration probability peek credit bargain variables promotion blame
    structure beauty acquisition bulk appearance pint definition manner stand hits reach violation denial ground
    stakes relationship concern introduction element interaction capabilities operations mode safety overview
    identities inability spectrum affordable gains aspect phenomenon exploit shares trend limit pinch walk
    prefix hurry middle lead functions crux pile implications minimum instant prospect constant strong answers
    fruits wish privilege belief intent proliferation flaws scenarios responses responsible inception beliefs
    shame perception peak shift perceptions beast behest posts charm timeline relief confirmation sake inclusion
    measure cheap decrease earlier independence absence approach later lane provisions flag load outcome
    sensation remains compromise concepts origins spin front mention surge pleasure offerings experiences hassle
    outsider frenzy claws twilight boost stretch addition multitude conditions intention resolution hitch
    passion obsession emphasis recognition evolution depth influence glass blink myriad appeal perspective
    aspects largest discount natural causes match hold epoch equivalent threshold breadth ultimate complete
    struggle slice dash upside pace cycle drag theme outside adoption occasion spot prejudice ruins easiest
    array century decade ease contrast dismay favour respects regards regard terms accord behalf accordance
    spite advance particular fate beginning ending ability division duties fault flurry sort weekend afternoon
    evening night summer spring minutes moments era ages while company companies product products site sites
    data information users user process software system systems program programs code file files server options
    computer computers version source package test comments content service function news tools study purposes
    reason reasons contents presence nature handful clothes money
""")
"""Nouns that alone say little of what a mail is about."""

EMPTY = words("""
    needs conflict smaller larger helps
    majority future range basis note result variety ease task decade amount back array number century purposes
    lack fact difference piece means sense matter level impact role look view hopes works began kills party
    favor plans obligation recipient address declaration manner fashion extent degree reason while
""")
"""Nouns that say little with an adjective, too."""

UNVERSIONED = words("""
    mach inc corp co ltd group sales revenue profit loss quarter nasdaq dow index million billion dollars
    version the section figure table chapter about around over under approximately at from to page step part
    article date rule score release v only just a an in on and or is was by for than then but if no number level
""")
"""What a number behind is no version of."""

UNCOUNTED = words("""
    kilometres kilometers metres meters acres hectares projections residents inhabitants people census times
    ones things years days hours minutes months weeks seconds lines messages cents dollars euros does goes says
    gets has was and but the for with from that this other more less are his her its their pounds percent
    million billion miles feet inches bytes always others uses makes takes comes looks seems means runs works
    bit wants needs gives sends replies writes thinks characters mails emails hundreds thousands
""")
"""What a question does not ask the number of: units, times, and verbs that look like plurals."""

NO_FIRST_NAMES = words("""
    The New Red San Los Linux Windows Open Free Web Internet Data Network United South North Software Daily Mail
    Sun Star Hong Great King Queen Saint Pope Black White Big Microsoft Apple Real Security Tech Digital Net
    Best News Will May April June August Hope Grace Christian Rich Art Robin Guy Sky Ziggy Chase Gamma Club Lord
    Van Von For Any All Good World Neat Special
""")
"""First words of senders and titles that are no first names."""

NO_LAST_NAMES = words("""
    Street Avenue Road University College School City County State Party House Center Centre Park Hotel Airport
    Times Inc Corp Ltd Software Systems Linux News Post Journal Group Company Day Night Show Book Award Prize
    Law River Lake Mountain Island Beach Church Hospital Station Bank Team Club Association Institute Foundation
    Museum Square Valley Hill Bay Wrote Sent Said And The But From For Subject Date List Mail Message Re Is In
    On Of At To Mon Tue Wed Thu Fri Sat Sun Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec Register Newsletter
    Edition Online Labs Press Magazine Has Was
""")
"""Capitalised words that follow a first name and are no last names."""

NO_PRODUCTS = words("""
    the a an this new first second gnu gpl open linux unix windows microsoft internet web us american british
    european irish english us-based mac pc cd dvd ip irc usb xml html http ftp dns tcp smtp imap pop java perl
    python c
""")
"""Adjectives before "program", "server" and so on that are no names of one."""

PREPOSITIONS = words("""
    of for with about from in on by via without
""")
"""What a bare plural may follow."""

ROBOTS = words("""
    bugzilla-daemon update nobody Nobody mailman-owner freshmeat-news-admin webmaster Mailer iiu-admin unlisted
    test root postmaster journal blo.gs
""")
"""Senders that are programs or accounts without a name."""

UNFIT = words("""
    frigging fuck fucks fucked fucking fucker shit shitty bullshit cunt asshole assholes arsehole dick cock
    pussy whore whores slut porn porno nude naked nipple penis vagina orgasm masturbate masturbation erotic sex
    sexual sexually rape raped rapist molested paedophile pedophile incest nigger faggot queer retard retarded
    suicide divorce divorced wife husband girlfriend boyfriend salary pregnant pregnancy abortion breast breasts
    alimony lesbian lesbians transsexual homosexual gay bastard bastards wank bollocks viagra bitch bitches crap
    bdsm
""")
"""Words of mails that nobody is asked about: rude, or of people's private lives."""

RISKY = words("""
    organism deity substance organ sport discipline concept work person people disease realm
""")
"""Coarse types whose single-word names are also the names of programs, firms, bands and people."""

AMBIGUOUS = words("""
    Jakarta Odyssey
    Jaguar Samba Juniper Orinoco Palladium Phoenix Lynx Medina Ruby Sun Reading Nice Java Hope Globe Mercury
    Apple Windows Amazon Oracle Orange Galaxy Eclipse Python Delphi Limbo Galeon Konqueror Earth Phoebe
    Cambridge Lincoln Columbia Victoria Georgia Jordan Florence Milan Adelaide Sydney Charlotte Perth Hamilton
    Newcastle Boston Mobile Buffalo Cork Bath Dallas Troy Lima Valencia Cologne Kent Essex Holland Turkey Chad
""")
"""Names that other things of 2002 share: releases and programs, people, streets, and everyday words."""

VAGUE = words("""
    Institution
    Reading Running Writing Feeling Setting Meaning Thought Interest Attention Address Service Network Message
    Program Library Product Company Process Project Language Property Picture Package Problem Question Research
    Security Software Solution Standard Surface Training Science Society History Village Weather Machine Western
    Quality Variable Function Sequence Notation Element Article Chapter Culture Evidence Experience Identity
    Information Instrument Knowledge Marketing Material Medicine Organization Population Punishment Reality
    Respect Response Restaurant Sentence Statement Structure Technology Temperature Tradition Transport Universe
    Violence Building Business Computer Education Government Engineering Entertainment Environment Equipment
    Exercise Furniture Generation Hardware Industry Insurance Keyboard Management Medication Monitor Newspaper
    Performance Platform Politics Pressure Printing Production Profession Publishing Schedule Spelling Standing
    Swimming Umbrella Visitor Volunteer Bearing Boiling Bridging Cooking Cutting Drawing Driving Drinking
    Fishing Hearing Hunting Kissing Knitting Learning Lighting Painting Parking Planning Playing Sailing Sewing
    Shopping Singing Sitting Skating Smoking Speaking Teaching Walking Washing Welding Wedding Weaving Balance
    Capital Channel Citizen Comfort Concept Control Country Current Death Freedom Gravity Journal Justice
    Kitchen Liberty Morning Evening Argument Addition Measurement Communication Investment Promiscuity
    Atmosphere Distance Credit Exchange Division Minute Mystery Nothing Opinion Patience Pattern Pleasure
    Present Private Promise Purpose Session Support Symbol
""")
"""Single-word concepts whose everyday use is not what their article is about."""

SMALL = words("""
    of the and in on for de la du von van to a at an
""")
"""Words that titles write with a small letter."""

STOP = words("""
    also been being between both during each first from have having into known more most much only other over
    part same since some such than that their them then there these they this through under until used using
    very were what when where which while with would about after against because before called came could does
    early either found great group help including large late later like long made make many might never often
    once place several should small sometimes still take three time times together well will within without work
    world years four five last next good high left right line name number named order point second third upon
    among became become began making means original originally particularly popular release released result
    section similar single source state story support technology various version wide widely
""")
"""Words that tell nothing of an article."""

STARTERS = words("""
    The A An In On At To From For And But Or Of By With As If When While Where Is Are Was Were Does Do Did Has
    Have Had Can Could Will Would Should Like Since Because Although Though Not No Only Even Also So That This
    These Those Then Than Its It Our My Your His Her Their Which What Who Why How After Before During Between
    Under Over About Against Without Within Through Using Use Both Either Neither All Any Some Most Many Yes Now
    Here There Unlike Despite Maybe Perhaps Outside Inside Via Into Let Until Unless Whether Re
""")
"""Capitalised words that begin a sentence and belong to no name."""

STATES = words("""
    Alabama Alaska Arizona Arkansas California Colorado Connecticut Delaware Florida Georgia Hawaii Idaho
    Illinois Indiana Iowa Kansas Kentucky Louisiana Maine Maryland Massachusetts Michigan Minnesota Mississippi
    Missouri Montana Nebraska Nevada Ohio Oklahoma Ontario Oregon Pennsylvania Tennessee Texas Utah Vermont
    Virginia Washington Wisconsin Wyoming
""")
"""Where an American or Canadian namesake of a city may lie."""

KNOWN_FIRMS = words("""
    Toshiba Dell HP Compaq Sun Oracle Intel AMD AOL Yahoo Cisco Apple Amazon eBay Nokia Motorola Sony Netscape Novell
    Adobe Macromedia RealNetworks WorldCom Enron Palm Handspring Verizon Sprint Ericsson Siemens Philips Hitachi Fujitsu
    Xerox Kodak Canon Epson Lexmark Gateway Seagate Maxtor Nvidia ATI SuSE Mandrake Caldera SCO Borland
    Symantec Disney Vivendi BEA SAP PeopleSoft Lindows Transmeta
    Walmart Ford Boeing Netgear Linksys 3Com Lucent Nortel Sprint Qualcomm
""")
"""Companies that mails of 2002 name and that have no article here: beside one of them "the company" is none alone."""
