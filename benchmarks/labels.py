"""A hundred common entity types, to be searched for and to be rehearsed."""

COMMON_LABELS = [
    label.strip()
    for label in """
person; organization; location; date; product; city; country; company; government agency; law;
event; website; email address; phone number; address; job title; software; programming language;
operating system; file name; database; network protocol; hardware; user role; team; project;
document; form; budget; amount of money; percentage; duration; time of day; month; year; season;
holiday; university; school; course; book; newspaper; song; film; television series; artist;
author; politician; scientist; athlete; sports team; sport; award; stadium; airport;
railway station; street; river; lake; mountain; island; ocean; continent; state; county;
language; nationality; religion; currency; stock exchange; bank; insurance company; hospital;
disease; symptom; medication; medical procedure; body part; chemical; protein; gene; species;
animal; plant; food; drink; recipe; restaurant; hotel; vehicle; aircraft; ship; weapon; court;
crime; contract; invoice number; account number; identifier; unit; method; metric; standard
""".replace("\n", " ").split(";")
][:100]
