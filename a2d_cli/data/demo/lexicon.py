"""The words of the demo corpus: German nouns, adjectives and verbs with their English.

Notation of the tables (order is frequency: the first word of a list is the most common):
  noun    `Baum m ¨e tree`: gender, plural as dictionaries write it (`-` none added, `¨` umlaut, `0` none, or
          the whole word), English, `/` its plural if irregular; `m!` is the weak declension (Studenten).
  role    `Arzt/Ärztin ¨e doctor`: an occupation, which gives a masculine and a feminine noun.
  verb    `zurück|rufen; call ~ back; person; A:person; v`: infinitive (`|` separable, `-` inseparable prefix,
          `sein` if that is its auxiliary); English (a pronoun stands at `~`: call him back, call back the
          man); kinds of its subject; frame; tags.
  frame   `A:kinds` `D:kinds` a plain object in that case (`D=to` with an English preposition, `D~` if it
          becomes the English subject); `auf.A=for:kinds` a German preposition with its case, and the English
          one; `sich` `sich.D` reflexive; `!Angst` a fixed German word; `+name` one of PHRASES; `wo:kinds`
          `wohin:kinds` a place, where or where to; `loc` `onto` beside a piece of furniture, likewise.
  tags    i is not done on purpose, m takes manner adverbs, p places, h hours and y years with `seit`,
          s stative, v passive, n never negated.
"""

from __future__ import annotations

ROLES = """
Lehrer - teacher, Arzt/Ärztin ¨e doctor, Freund e friend, Nachbar/Nachbarin n! neighbor, Student en! student,
Koch/Köchin ¨e cook, Kollege/Kollegin n! colleague, Chef s boss, Ingenieur e engineer, Schüler - pupil,
Polizist en! police officer, Journalist en! journalist, Künstler - artist, Bäcker - baker,
Kunde/Kundin n! customer, Verkäufer - salesclerk, Professor Professoren professor, Anwalt/Anwältin ¨e lawyer,
Gärtner - gardener, Tourist en! tourist, Sänger - singer, Bauer/Bäuerin n! farmer, Fahrer - driver,
Bürgermeister - mayor, Forscher - researcher, Pilot en! pilot, Maler - painter,
Zahnarzt/Zahnärztin ¨e dentist, Trainer - coach, Mechaniker - mechanic, Apotheker - pharmacist,
Richter - judge, Musiker - musician, Schneider - tailor, Politiker - politician, Übersetzer - translator,
Programmierer - programmer, Wissenschaftler - scientist, Fotograf en! photographer, Bibliothekar e librarian,
Schriftsteller - writer, Metzger - butcher, Jäger - hunter, Tänzer - dancer, Briefträger - mail carrier,
Hausmeister - janitor, Soldat en! soldier, Dichter - poet, Geiger - violinist, Zeuge/Zeugin n! witness,
Bergsteiger - mountaineer, Uhrmacher - watchmaker, Imker - beekeeper, Dolmetscher - interpreter,
Tierarzt/Tierärztin ¨e vet, Schreiner - carpenter, Bildhauer - sculptor, Hirte/Hirtin n! shepherd,
Dachdecker - roofer, Bewerber - applicant, Besucher - visitor, Zuschauer - spectator, Radfahrer - cyclist
"""

NOUNS = {
    "person": """
        Mann m ¨er man/men, Frau f en woman/women, Kind n er child/children, Junge m! n boy, Mädchen n - girl,
        Vater m ¨ father, Mutter f ¨ mother, Bruder m ¨ brother, Schwester f n sister, Sohn m ¨e son,
        Tochter f ¨ daughter, Onkel m - uncle, Tante f n aunt, Großmutter f ¨ grandmother,
        Großvater m ¨ grandfather, Gast m ¨e guest, Neffe m! n nephew, Nichte f n niece, Leiter m - manager,
        Cousin m s cousin, König m e king, Königin f nen queen, Prinz m! en prince, Held m! en hero/heroes,
        Riese m! n giant, Hexe f n witch, Zauberer m - wizard""",
    "thief": "Dieb m e thief/thieves, Einbrecher m - burglar, Verbrecher m - criminal, Betrüger m - swindler",
    "animal": """
        Hund m e dog, Katze f n cat, Pferd n e horse, Vogel m ¨ bird, Kuh f ¨e cow, Maus f ¨e mouse/mice,
        Hase m! n rabbit, Schaf n e sheep/sheep, Fuchs m ¨e fox, Bär m! en bear, Affe m! n monkey,
        Löwe m! n lion, Ente f n duck, Schwein n e pig, Ziege f n goat, Elefant m! en elephant,
        Wolf m ¨e wolf/wolves, Esel m - donkey, Huhn n ¨er chicken, Igel m - hedgehog, Schlange f n snake,
        Frosch m ¨e frog, Eule f n owl, Reh n e deer/deer, Gans f ¨e goose/geese, Strauß m e ostrich,
        Eichhörnchen n - squirrel, Adler m - eagle, Schwan m ¨e swan, Rabe m! n raven""",
    "food": """
        Apfel m ¨ apple, Ei n er egg, Käse m 0 cheese, Fisch m 0 fish, Fleisch n 0 meat,
        Kartoffel f n potato/potatoes, Tomate f n tomato/tomatoes, Reis m 0 rice, Birne f n pear,
        Wurst f ¨e sausage, Obst n 0 fruit, Nudel f n noodle, Gurke f n cucumber, Zwiebel f n onion,
        Erdbeere f n strawberry, Kirsche f n cherry, Pilz m e mushroom, Banane f n banana, Traube f n grape,
        Honig m 0 honey, Karotte f n carrot, Schinken m 0 ham, Bohne f n bean, Pflaume f n plum,
        Zitrone f n lemon, Nuss f ¨e nut, Kürbis m se pumpkin, Butter f 0 butter""",
    "bakery": """
        Brot n e loaf of bread/loaves of bread, Kuchen m - cake, Brötchen n - bread roll, Torte f n pie,
        Keks m e cookie""",
    "dish": """
        Suppe f n soup, Gericht n e dish, Salat m e salad, Nachtisch m 0 dessert, Eintopf m ¨e stew,
        Abendessen n - dinner, Mittagessen n - lunch, Frühstück n 0 breakfast, Auflauf m ¨e casserole""",
    "drink": """
        Kaffee m 0 coffee, Wasser n 0 water, Tee m 0 tea, Milch f 0 milk, Saft m 0 juice,
        Mineralwasser n 0 mineral water, Limonade f 0 lemonade, Kakao m 0 cocoa""",
    "furniture": """
        Tisch m e table, Stuhl m ¨e chair, Schrank m ¨e cabinet, Regal n e shelf/shelves, Sofa n s sofa,
        Sessel m - armchair, Schreibtisch m e desk, Kommode f n dresser, Hocker m - stool""",
    "seat": """
        Stuhl m ¨e chair, Bank f ¨e bench, Sofa n s sofa, Sessel m - armchair, Hocker m - stool,
        Mauer f n wall""",
    "thing": """
        Tasche f n bag, Schlüssel m - key, Ball m ¨e ball, Regenschirm m e umbrella, Messer n - knife/knives,
        Brille f n pair of glasses/pairs of glasses, Teller m - plate, Tasse f n cup, Löffel m - spoon,
        Geschenk n e present, Spiegel m - mirror, Glas n ¨er glass, Leiter f n ladder, Stift m e pen,
        Kerze f n candle, Decke f n blanket, Vase f n vase, Schere f n pair of scissors/pairs of scissors,
        Korb m ¨e basket, Gabel f n fork, Puppe f n doll, Eimer m - bucket, Kissen n - pillow, Topf m ¨e pot,
        Ring m e ring, Kette f n necklace, Besen m - broom, Seil n e rope, Pfanne f n frying pan,
        Kamm m ¨e comb, Säge f n saw, Hammer m ¨ hammer, Nadel f n needle, Zelt n e tent, Teppich m e carpet,
        Fahne f n flag, Strauß m ¨e bouquet, Zange f n pair of pliers/pairs of pliers, Schaufel f n shovel,
        Pinsel m - paintbrush, Trommel f n drum, Kompass m e compass, Angel f n fishing rod,
        Lupe f n magnifying glass, Krone f n crown""",
    "load": """
        Koffer m - suitcase, Rucksack m ¨e backpack, Kiste f n crate, Paket n e package, Sack m ¨e sack,
        Stein m e stone, Korb m ¨e basket, Eimer m - bucket""",
    "device": """
        Computer m - computer, Handy n s cell phone, Lampe f n lamp, Uhr f en clock, Kamera f s camera,
        Fernseher m - TV set, Radio n s radio, Drucker m - printer, Kühlschrank m ¨e refrigerator,
        Heizung f en heater, Maschine f n machine, Ofen m ¨ oven, Wecker m - alarm clock,
        Staubsauger m - vacuum cleaner, Rasenmäher m - lawnmower, Mixer m - blender""",
    "instrument": """
        Klavier n e piano, Geige f n violin, Gitarre f n guitar, Flöte f n flute, Flügel m - grand piano,
        Orgel f n organ""",
    "clothes": """
        Jacke f n jacket, Hose f n pair of pants/pairs of pants, Kleid n er dress, Hemd n en shirt,
        Mantel m ¨ coat, Schuh m e shoe, Hut m ¨e hat, Pullover m - sweater, Rock m ¨e skirt,
        Bluse f n blouse, Mütze f n cap, Anzug m ¨e suit, Schal m s scarf, Stiefel m - boot,
        Handschuh m e glove, Krawatte f n tie, Socke f n sock, Gürtel m - belt, Schürze f n apron""",
    "vehicle": """
        Auto n s car, Fahrrad n ¨er bicycle, Bus m se bus, Zug m ¨e train, Lastwagen m - truck, Boot n e boat,
        Motorrad n ¨er motorcycle, Straßenbahn f en streetcar, Schiff n e ship, Taxi n s taxi,
        Traktor m Traktoren tractor, Kutsche f n carriage, Krankenwagen m - ambulance""",
    "cart": "Wagen m - cart, Schlitten m - sled, Karren m - cart, Anhänger m - trailer",
    "transit": """
        Zug m ¨e train, Bus m se bus, Straßenbahn f en streetcar, Schiff n e ship, Fähre f n ferry,
        Flugzeug n e plane""",
    "ship": "Schiff n e ship, Boot n e boat, Fähre f n ferry, Dampfer m - steamer",
    "building": """
        Haus n ¨er house, Schule f n school, Kirche f n church, Hotel n s hotel, Schloss n ¨er castle,
        Turm m ¨e tower, Brücke f n bridge, Museum n Museen museum, Bahnhof m ¨e train station,
        Theater n - theater, Fabrik f en factory, Krankenhaus n ¨er hospital, Rathaus n ¨er town hall,
        Scheune f n barn, Hütte f n cabin, Mühle f n mill""",
    "opening": """
        Tür f en door, Fenster n - window, Tor n e gate, Koffer m - suitcase, Schublade f n drawer,
        Flasche f n bottle, Paket n e package, Dose f n can, Kiste f n crate, Umschlag m ¨e envelope""",
    "lockable": """
        Tür f en door, Schrank m ¨e cabinet, Tor n e gate, Schublade f n drawer, Wohnung f en apartment""",
    "lock": "Schloss n ¨er lock",
    "hardware": "Schraube f n screw, Mutter f n nut",
    "room": """
        Zimmer n - room, Küche f n kitchen, Wohnung f en apartment, Keller m - basement, Büro n s office,
        Garage f n garage, Saal m Säle hall""",
    "plant": """
        Baum m ¨e tree, Blume f n flower, Rose f n rose, Tulpe f n tulip, Busch m ¨e bush, Eiche f n oak,
        Tanne f n fir, Kirschbaum m ¨e cherry tree, Birke f n birch, Sonnenblume f n sunflower,
        Linde f n linden tree""",
    "text": """
        Buch n ¨er book, Brief m e letter, Zeitung f en newspaper, Bericht m e report, Gedicht n e poem,
        Artikel m - article, Roman m e novel, Nachricht f en message, Märchen n - fairy tale,
        Postkarte f n postcard, Zeitschrift f en magazine, Tagebuch n ¨er diary, Band m ¨e volume,
        Aufsatz m ¨e essay, Gebrauchsanweisung f en manual, Wörterbuch n ¨er dictionary""",
    "film": """
        Film m e film, Lied n er song, Theaterstück n e play, Konzert n e concert, Oper f n opera,
        Sendung f en broadcast""",
    "song": "Lied n er song, Melodie f n melody, Volkslied n er folk song",
    "picture": """
        Bild n er picture, Porträt n s portrait, Landschaft f en landscape, Gemälde n - painting,
        Plakat n e poster""",
    "photo": "Foto n s photo, Aufnahme f n picture",
    "break": "Pause f n break",
    "story": "Geschichte f n story, Märchen n - fairy tale, Witz m e joke, Anekdote f n anecdote",
    "word": "Wort n ¨er word, Begriff m e term, Name m! n name",
    "contract": "Vertrag m ¨e contract, Formular n e form, Antrag m ¨e application, Brief m e letter",
    "homework": """
        Hausaufgabe f n homework assignment, Arbeit f en paper, Prüfung f en exam, Antrag m ¨e application""",
    "data": "Datei f en file, Programm n e program, Karte f n map, Foto n s photo, Dokument n e document",
    "fire": "Feuer n - fire, Brand m ¨e fire, Kerze f n candle",
    "idea": """
        Plan m ¨e plan, Idee f n idea, Vorschlag m ¨e proposal, Angebot n e offer, Lösung f en solution,
        Einladung f en invitation, Entwurf m ¨e draft, Gedanke m! n thought, Vorwand m ¨e pretext""",
    "problem": """
        Problem n e problem, Frage f n question, Aufgabe f n task, Fehler m - mistake, Rätsel n - riddle,
        Regel f n rule, Gleichung f en equation, Unterschied m e difference""",
    "mistake": "Fehler m - mistake, Irrtum m ¨er error, Lüge f n lie",
    "question": "Frage f n question",
    "decision": "Entscheidung f en decision, Wahl f en choice",
    "speech": "Rede f n speech, Vortrag m ¨e lecture",
    "talk": "Gespräch n e conversation",
    "exam": "Prüfung f en exam, Test m s test",
    "hope": """
        Hoffnung f en hope, Plan m ¨e plan, Widerstand m 0 resistance, Kampf m ¨e fight, Stelle f n job,
        Traum m ¨e dream""",
    "job": "Stelle f n job, Stipendium n Stipendien scholarship, Praktikum n Praktika internship",
    "event": """
        Fest n e party, Konzert n e concert, Hochzeit f en wedding, Reise f n trip, Sitzung f en meeting,
        Urlaub m e vacation, Ausflug m ¨e excursion, Kurs m e course, Ausstellung f en exhibition,
        Wahl f en election, Ball m ¨e ball, Vorstellung f en performance, Prozess m e trial,
        Besprechung f en discussion, Turnier n e tournament, Probe f n rehearsal, Feier f n celebration,
        Umzug m ¨e parade, Versteigerung f en auction""",
    "occasion": """
        Geburtstag m e birthday, Hochzeit f en wedding, Sieg m e victory, Beförderung f en promotion,
        Prüfung f en exam""",
    "help": """
        Hilfe f 0 help, Rat m 0 advice, Geld n 0 money, Geduld f 0 patience, Verzeihung f 0 forgiveness,
        Auskunft f 0 information""",
    "money": "Geld n 0 money",
    "bill": "Rechnung f en bill, Miete f n rent, Preis m e price, Strafe f n fine, Steuer f n tax",
    "prize": """
        Preis m e prize, Spiel n e game, Wettbewerb m e competition, Pokal m e trophy, Medaille f n medal,
        Rennen n - race""",
    "price": "Preis m e price, Miete f n rent, Steuer f n tax, Gebühr f en fee",
    "noise": "Lärm m 0 noise, Hitze f 0 heat, Kälte f 0 cold, Schmerz m en pain, Gestank m 0 stench",
    "storm": """
        Regen m 0 rain, Sturm m 0 storm, Nebel m 0 fog, Hitze f 0 heat, Schnee m 0 snow, Kälte f 0 cold,
        Streik m 0 strike, Stau m 0 traffic jam""",
    "illness": """
        Krankheit f en illness, Grippe f 0 flu, Husten m 0 cough, Allergie f n allergy,
        Einsamkeit f 0 loneliness""",
    "scare": """
        Spinne f n spider, Gewitter n - thunderstorm, Dunkelheit f 0 darkness, Prüfung f en exam,
        Hund m e dog, Schlange f n snake, Gespenst n er ghost""",
    "topic": """
        Wetter n 0 weather, Zukunft f 0 future, Vergangenheit f 0 past, Film m e film, Reise f n trip,
        Arbeit f 0 work, Krieg m e war, Umwelt f 0 environment, Preis m e price""",
    "trouble": """
        Lärm m 0 noise, Verspätung f en delay, Wetter n 0 weather, Rechnung f en bill,
        Entscheidung f en decision, Unordnung f 0 mess""",
    "gift": """
        Geschenk n e present, Brief m e letter, Erfolg m e success, Blume f n flower,
        Nachricht f en message""",
    "task": """
        Arbeit f 0 work, Spiel n e game, Projekt n e project, Training n 0 training, Übung f en exercise""",
    "institution": """
        Firma f Firmen company, Universität f en university, Bank f Banken bank, Zeitung f en newspaper,
        Polizei f 0 police, Bibliothek f en library, Partei f en party, Verlag m e publishing house,
        Verein m e club, Gericht n e court""",
    "company": """
        Firma f Firmen company, Fabrik f en factory, Werkstatt f ¨en workshop, Brauerei f en brewery,
        Verlag m e publishing house""",
    "dog": "Hund m e dog, Welpe m! n puppy, Schäferhund m e sheepdog",
    "window": """
        Fenster n - window, Tür f en door, Schuh m e shoe, Treppe f n staircase, Zahn m ¨e tooth/teeth,
        Küche f n kitchen""",
    "riddle": """
        Problem n e problem, Rätsel n - riddle, Aufgabe f n task, Gleichung f en equation, Fall m ¨e case""",
    "vessel": """
        Teller m - plate, Tasse f n cup, Vase f n vase, Spiegel m - mirror, Fensterscheibe f n windowpane""",
    "water": "See m n lake, Fluss m ¨e river, Meer n e sea, Teich m e pond, Becken n - pool",
    "sun": "Sonne f 0 sun, Mond m 0 moon, Stern m e star",
    "set": "Sonne f 0 sun, Mond m 0 moon",
    "catch": """
        Fisch m e fish/fish, Maus f ¨e mouse/mice, Vogel m ¨ bird, Ball m ¨e ball,
        Schmetterling m e butterfly""",
    "smell": """
        Kaffee m 0 coffee, Fisch m 0 fish, Rauch m 0 smoke, Farbe f 0 paint, Rose f n rose,
        Knoblauch m 0 garlic""",
    "part": "Spieler m - player, Teil m e part, Raum m ¨e room, Kapitel n - chapter, Mitglied n er member",
    "housepart": """
        Dach n ¨er roof, Decke f n ceiling, Tür f en door, Fenster n - window, Wand f ¨e wall,
        Eingang m ¨e entrance, Garten m ¨ garden""",
    "feature": """
        Hut m ¨e hat, Bart m ¨e beard, Brille f n pair of glasses/pairs of glasses, Hund m e dog,
        Regenschirm m e umbrella, Mantel m ¨ coat, Tasche f n bag""",
}

# (kind, German preposition, English preposition): where one is there; one goes there with zu instead of an,
# and with the accusative after the others.
PLACES = {
    ("place", "in", "in"): """
        Park m s park, Garten m ¨ garden, Stadt f ¨e city, Dorf n ¨er village, Haus n ¨er house,
        Küche f n kitchen, Zimmer n - room, Wald m ¨er forest, Büro n s office, Keller m - basement,
        Altstadt f 0 old town, Tal n ¨er valley, Krankenhaus n ¨er hospital, Wüste f n desert,
        Werkstatt f ¨en workshop, Hof m ¨e courtyard, Höhle f n cave""",
    ("place", "an", "at"): """
        Bahnhof m ¨e train station, Flughafen m ¨ airport, Hafen m ¨ harbor, See m n lake, Strand m ¨e beach,
        Grenze f n border, Eingang m ¨e entrance, Haltestelle f n bus stop, Fluss m ¨e river,
        Brunnen m - fountain""",
    ("place", "auf", "on"): """
        Straße f n street, Insel f n island, Wiese f n meadow, Berg m e mountain, Balkon m e balcony,
        Hügel m - hill, Platz m ¨e square, Feld n er field, Terrasse f n terrace""",
    ("place", "in", "at"): """
        Schule f n school, Restaurant n s restaurant, Theater n - theater, Hotel n s hotel,
        Museum n Museen museum, Bibliothek f en library, Kino n s movie theater, Zoo m s zoo,
        Oper f n opera house""",
    ("place", "auf", "at"): "Markt m ¨e market, Spielplatz m ¨e playground, Bauernhof m ¨e farm",
    ("home", "in", "in"): """
        Haus n ¨er house, Dorf n ¨er village, Stadt f ¨e city, Hütte f n cabin, Altstadt f 0 old town,
        Wohnung f en apartment, Vorort m e suburb""",
    ("garden", "in", "in"): "Garten m ¨ garden, Park m s park, Tal n ¨er valley, Wald m ¨er forest",
    ("cinema", "in", "at"): "Kino n s movie theater, Theater n - theater",
    ("school", "an", "at"): "Schule f n school, Universität f en university, Akademie f n academy",
}

# Compounds: the first part with its English, and the heads it is put before.
COMPOUNDS = """
Holz=wooden: Tisch Stuhl Regal Löffel Kiste Brücke Haus Tür Boot Hütte Tor Turm Puppe Teller Hocker
Glas=glass: Tisch Tür Vase Teller Flasche
Leder=leather: Jacke Tasche Koffer Stiefel Gürtel Handschuh Sofa Sessel Rock
Woll=wool: Mütze Socke Pullover Schal Mantel Handschuh Kleid
Silber=silver: Löffel Kette Ring Gabel Messer Teller
Gold=gold: Kette Ring Zahn Medaille Krone
Plastik=plastic: Flasche Eimer Tasche Stuhl Teller Gabel Löffel
Sommer=summer: Kleid Urlaub Hut Jacke Fest Konzert Reise Mantel Kurs Schuh
Winter=winter: Mantel Jacke Schuh Urlaub Stiefel Mütze Reise
Kinder=children's: Buch Zimmer Film Fest Lied Fahrrad Schuh Chor
Schul=school: Bus Buch Fest Tasche Bibliothek Konzert Garten Ausflug
Stadt=city: Park Bibliothek Museum Theater Bus Fest Plan
Dorf=village: Schule Kirche Fest Straße Platz
Küchen=kitchen: Tisch Schrank Messer Fenster Uhr Tür Stuhl Lampe
Garten=garden: Tisch Stuhl Haus Tor Fest Tür
Kirchen=church: Tür Turm Fenster Orgel Uhr
Keller=basement: Tür Fenster Wohnung Schlüssel
Apfel=apple: Kuchen Saft Baum Torte
Kirsch=cherry: Kuchen Saft Torte
Schokoladen=chocolate: Kuchen Torte Keks
Kartoffel=potato: Suppe Salat Eintopf Feld Auflauf
Tomaten=tomato: Suppe Salat Saft
Zwiebel=onion: Suppe Kuchen
Fisch=fish: Suppe Markt Salat
Nudel=noodle: Suppe Salat Auflauf
Gemüse=vegetable: Suppe Eintopf Markt Garten Auflauf
Obst=fruit: Salat Kuchen Garten Markt Korb Messer
Deutsch=German: Lehrer Lehrerin Buch Kurs
Mathematik=math: Lehrer Lehrerin Buch Professor Professorin Student Studentin Aufgabe
Musik=music: Lehrer Lehrerin Student Studentin
Kunst=art: Lehrer Lehrerin Student Studentin Ausstellung Museum
Geschichts=history: Lehrer Lehrerin Buch Professor Professorin Kurs
Physik=physics: Lehrer Lehrerin Student Studentin Professor Buch Aufgabe
Chemie=chemistry: Lehrer Lehrerin Student Studentin Professorin Buch
Taxi=taxi: Fahrer Fahrerin
Bus=bus: Fahrer Fahrerin
Lastwagen=truck: Fahrer Fahrerin
Blumen=flower: Vase Garten Topf Markt Korb Wiese Kleid
Rosen=rose: Garten Busch
Bücher=book: Regal
Kleider=clothes: Schrank
Taschen=pocket: Messer Spiegel Kamm Wörterbuch
Abend=evening: Kleid Zeitung Kurs Vorstellung
Tages=daily: Zeitung
Wochen=weekly: Zeitung Markt
Nacht=night: Zug Bus
Liebes=love: Brief Gedicht Roman Film Lied Geschichte
Abenteuer=adventure: Roman Film Buch Geschichte
Zeitungs=newspaper: Artikel Bericht
Reise=travel: Tasche Bericht Wecker
Hochzeits=wedding: Kleid Geschenk Torte Foto Einladung Ring
Geburtstags=birthday: Geschenk Kuchen Torte Fest Kerze Lied Einladung
Fußball=soccer: Spiel Verein Trainer Turnier
Tennis=tennis: Spiel Verein Trainer Trainerin Turnier Kurs
Schach=chess: Turnier Verein Problem Buch
Ton=clay: Topf Vase Teller
Stein=stone: Brücke Haus Turm Tisch
Eisen=iron: Tor Brücke Ofen Tür
Papier=paper: Tasche Boot Blume Korb
Seiden=silk: Kleid Schal Bluse Krawatte
Pelz=fur: Mütze Mantel Stiefel
Regen=rain: Mantel Jacke
Haus=house: Schlüssel Tür
Auto=car: Schlüssel Tür Radio
Wand=wall: Uhr Spiegel Lampe
Tisch=table: Lampe
Wein=wine: Glas Flasche Keller
Bier=beer: Glas Flasche
Wasser=water: Glas Flasche Eimer
Kaffee=coffee: Tasse Löffel
Suppen=soup: Topf Teller Löffel
Spielzeug=toy: Auto Zug Boot
Renn=racing: Auto Fahrrad
Wild=wild: Schwein Ente Gans Katze Pferd
Berg=mountain: Dorf Hütte See Straße
Fischer=fishing: Dorf Boot Hütte
Küsten=coastal: Dorf Stadt Straße
Grenz=border: Stadt Dorf
Haupt=main: Straße Bahnhof Eingang Problem Aufgabe
Neben=side: Eingang Straße
Lieblings=favorite: Buch Film Lied Kleid Pullover Roman Restaurant Tasse Lehrer Lehrerin Suppe Kuchen
"""


UMLAUTING = "alt jung groß klug stark arm kalt warm kurz lang scharf schwarz hart schwach dumm"
NO_DEGREES = """
kaputt leer gestreift kariert gebraucht getrocknet roh einmalig gefleckt verwelkt überfüllt falsch richtig
verlassen nass geheim tot unerwartet plötzlich
"""
COLORS = "rot red, blau blue, grün green, gelb yellow, weiß white, schwarz black, grau gray, braun brown"
# By what they describe: schwer is heavy of a bag and difficult of an idea, scharf is spicy only of a dish.
ADJECTIVES = {
    "person": """
        alt old, jung young, müde tired, nett nice, freundlich friendly, krank sick, klug smart,
        berühmt famous, glücklich happy, traurig sad, fleißig hardworking, faul lazy, reich rich, arm poor,
        groß tall, höflich polite, neugierig curious, geduldig patient, ungeduldig impatient, ehrlich honest,
        unfreundlich unfriendly, vorsichtig careful, stolz proud, mutig brave, schüchtern shy, nervös nervous,
        unglücklich unhappy, schlank slim, zufrieden satisfied, eifersüchtig jealous, dankbar grateful,
        unhöflich rude, gelassen calm, ehrgeizig ambitious, geizig stingy, begabt gifted,
        zuverlässig reliable, vergesslich forgetful""",
    "animal": """
        klein small, groß big, schwarz black, weiß white, wild wild, hungrig hungry, dick fat, schnell fast,
        alt old, jung young, braun brown, scheu shy, faul lazy, gefährlich dangerous, zahm tame,
        gefleckt spotted, harmlos harmless, schlau clever""",
    "thing": """
        neu new, alt old, klein small, groß big, schön beautiful, teuer expensive, schwer heavy, leicht light,
        billig cheap, rot red, leer empty, blau blue, nützlich useful, schmutzig dirty, kaputt broken,
        sauber clean, rund round, praktisch practical, hässlich ugly, bunt colorful, wertvoll valuable,
        kostbar precious, zerbrechlich fragile, rostig rusty, winzig tiny, dunkel dark""",
    "device": """
        neu new, alt old, kaputt broken, teuer expensive, modern modern, laut loud, billig cheap,
        praktisch practical, leise quiet, klein small, schwer heavy, zuverlässig reliable, gebraucht used,
        veraltet outdated, sparsam economical""",
    "clothes": """
        neu new, alt old, rot red, warm warm, blau blue, schwarz black, teuer expensive, schön beautiful,
        lang long, kurz short, schmutzig dirty, weiß white, grün green, eng tight, bequem comfortable,
        elegant elegant, weit loose, nass wet, trocken dry, altmodisch old-fashioned, dünn thin,
        kariert checkered, gestreift striped, hässlich ugly, gelb yellow""",
    "food": """
        frisch fresh, gut good, reif ripe, süß sweet, billig cheap, groß big, faul rotten, sauer sour,
        teuer expensive, roh raw, saftig juicy, gesund healthy, getrocknet dried, weich soft""",
    "dish": """
        lecker tasty, heiß hot, warm warm, kalt cold, scharf spicy, köstlich delicious, einfach simple,
        fett greasy, versalzen oversalted, leicht light""",
    "drink": """
        kalt cold, heiß hot, stark strong, frisch fresh, schwach weak, süß sweet, warm warm, dünn watery""",
    "vehicle": """
        neu new, alt old, schnell fast, teuer expensive, rot red, langsam slow, klein small, groß big,
        gebraucht used, laut loud, kaputt broken, überfüllt overcrowded, bequem comfortable, voll full,
        rostig rusty, leer empty""",
    "place": """
        groß big, klein small, alt old, schön beautiful, ruhig quiet, neu new, berühmt famous, modern modern,
        hoch high, leer empty, dunkel dark, schmal narrow, hell bright, verlassen abandoned,
        geheimnisvoll mysterious, abgelegen remote, gemütlich cozy, verschneit snowy""",
    "plant": """
        groß big, alt old, schön beautiful, klein small, hoch tall, rot red, selten rare,
        prächtig magnificent, giftig poisonous, verwelkt withered""",
    "text": """
        neu new, lang long, interessant interesting, kurz short, langweilig boring, spannend exciting,
        alt old, wichtig important, dick thick, lustig funny, berühmt famous, schwierig difficult,
        leicht easy, traurig sad, ausführlich detailed, rätselhaft puzzling, verständlich understandable,
        unverständlich incomprehensible, geheim secret""",
    "picture": """
        schön beautiful, neu new, alt old, klein small, groß big, berühmt famous, bunt colorful,
        seltsam strange, wertvoll valuable, gelungen successful, verblasst faded""",
    "paper": """
        wichtig important, neu new, lang long, kurz short, schwierig difficult, leicht easy, fertig finished,
        geheim secret, ungewöhnlich unusual, kompliziert complicated, unvollständig incomplete""",
    "idea": """
        gut good, neu new, schwierig difficult, einfach simple, wichtig important, schlecht bad,
        schwer difficult, leicht easy, interessant interesting, gefährlich dangerous, dumm stupid,
        seltsam strange, klug smart, ungewöhnlich unusual, vernünftig reasonable, überraschend surprising,
        notwendig necessary, mutig bold, unnötig unnecessary, einmalig unique, falsch wrong, richtig right""",
    "mistake": "groß big, klein small, dumm stupid, schlimm terrible, teuer expensive, peinlich embarrassing",
    "event": """
        lang long, schön beautiful, wichtig important, kurz short, langweilig boring, groß big,
        erfolgreich successful, teuer expensive, interessant interesting, unvergesslich unforgettable,
        festlich festive, anstrengend exhausting, feierlich solemn""",
    "storm": """
        stark heavy, plötzlich sudden, schlimm terrible, unerwartet unexpected, heftig fierce,
        schrecklich awful""",
    "institution": """
        groß big, klein small, neu new, alt old, bekannt well-known, erfolgreich successful, örtlich local,
        bedeutend major""",
}
ADJECTIVE_CLASSES = {
    "person": "person thief part",
    "animal": "animal catch dog",
    "device": "device instrument",
    "clothes": "clothes",
    "food": "food bakery",
    "dish": "dish",
    "drink": "drink",
    "vehicle": "vehicle transit ship cart",
    "plant": "plant",
    "institution": "institution company",
    "text": "text film song story speech talk",
    "storm": "storm noise fire",
    "picture": "picture",
    "paper": "contract homework exam data",
    "mistake": "mistake",
    "idea": "word idea problem riddle question decision job",
    "event": "event task break occasion prize",
    "place": "place building room water garden cinema school home",
    "thing": "thing load furniture seat opening lockable hardware gift housepart lock window vessel feature",
}


GROUPS = {
    "goods": "thing clothes furniture device vehicle text instrument",
    "portable": "thing text clothes device",
    "being": "person animal",
    "edible": "food dish bakery",
    "traffic": "person vehicle",
}

VERBS = """
haben; have; person; A:goods,animal,problem,idea; s
kaufen; buy; person; A:goods,edible; p v
lesen; read; person; A:text; m p h v
suchen; look for; person; A:portable,person,animal; p h
finden; find; person; A:portable,animal; p v i
sehen; see; person; A:person,animal,building,vehicle,plant; p i
brauchen; need; person; A:goods,help; s
schreiben; write; person; A:text; m p h v
essen; eat; person; A:edible; m p v
trinken; drink; person; A:drink; m p
warten; wait; person; auf.A=for:person,transit,text; m p h
arbeiten; work; person; bei.D=at:institution; y m
wohnen; live; person; wo:home,home,city; y
gehen sein; go; person; wohin:place;
kommen sein; come; person; aus.D=from:city,country; i
helfen; help; person; D:person; p
geben; give; person; D=to:person A:portable;
an|rufen; call ~; person; A:person; p v
vergessen; forget; person; A:portable,occasion,word; s v i
verlieren; lose; person; A:thing,clothes,prize; p i
machen; take; person; A:photo,break; p
nehmen; take; person; A:transit,photo,portable;
spielen; play; person; +music; m p h y
spielen; play; person; +game; m p h y
stehen; stand; person; wo:place; h i
stehen; be; thing,furniture,device; loc; s
liegen; lie; animal,portable; loc; s
sitzen; sit; person; auf.D=on:seat; p h
kennen; know; person; A:person,city,place; s y
fahren sein; go; person; +transit wohin:place,city,country;
treffen; meet; person; A:person; p
treffen; make; person; A:decision; v
stellen; ask; person; D:person A:question;
stellen; put; person; A:thing,device onto; m
legen; put; person; A:portable onto; m
an|fangen; start; event,film; ;
an|fangen; start; person; mit.D=with:task;
fangen; catch; being; A:catch,thief; v
be-kommen; get; person; A:gift,text; i
ver-stehen; understand; person; A:text,problem,person,word; s i
auf|stehen sein; get up; person; ; m
an|kommen sein; arrive; traffic; wo:city,place;
be-suchen; visit; person; A:person,city,building; v
ge-fallen; like; film,place,clothes,text; D~:person; s n
schmecken; like; edible; D~:person; s n
ge-hören; belong; goods; D=to:person; s
kosten; cost; goods,event; +price; s n
dauern; last; event,film; +duration; s n
auf|machen; open; person; A:opening; m v
zu|machen; close; person; A:opening; m
öffnen; open; person; A:opening,lock; m v
schließen; close; person; A:opening; v
ab|schließen; lock ~; person; A:lockable; v
sprechen; talk; person; mit.D=to:person über.A=about:topic; p h
denken; think; person; an.A=about:person,occasion,event; h
er-zählen; tell; person; D=to:person A:story; m
zeigen; show; person; D=to:person A:photo,portable,picture;
fragen; ask; person; A:person nach.D=about:price,word,event;
bitten; ask; person; A:person um.A=for:help;
antworten; answer; person; D:person; m
be-antworten; answer; person; A:question; v
lernen; learn; person; +language; y
studieren; study; person; +subject wo:city; y
unter-richten; teach; person; +subject wo:school; y
auf|geben; give ~ up; person; A:hope;
aus|geben; spend; person; A:money für.A=on:goods,event;
zurück|geben; give ~ back; person; D=to:person A:portable;
ab|geben; hand ~ in; person; A:homework; m v
zu|geben; admit; person; A:mistake;
nach|geben; give in; person; ;
an|nehmen; accept ~; person; A:idea,gift,bill; v
ab|nehmen; lose weight; person; ; y i
zu|nehmen; gain weight; person; ; y i
auf|nehmen; record ~; person; A:song,speech; p v
mit|nehmen; take ~ along; person; A:portable,animal;
fest|nehmen; arrest ~; person; A:thief; p v
teil|nehmen; take part; person; an.D=in:event;
zurück|rufen; call ~ back; person; A:person;
ab|rufen; retrieve; person; A:data; v
herunter|laden; download ~; person; A:data; v
ein|laden; invite; person; A:person zu.D=to:event,occasion; v
auf|hören; stop; event,film,storm; ;
auf|hören; stop; person; mit.D:task;
zu|hören; listen; person; D=to:person; m
ziehen sein; move; person; wohin:city,country;
ziehen; pull; being; A:cart; m v
an|ziehen; put ~ on; person; A:clothes; m
an|ziehen; tighten; person; A:hardware; m
aus|ziehen; take ~ off; person; A:clothes; m
aus|ziehen sein; move out; person; ;
ein|ziehen sein; move in; person; ;
um|ziehen sein; move; person; wohin:city;
sich um|ziehen; get changed; person; ; m p
sich an|ziehen; get dressed; person; ; m
an|machen; turn ~ on; person; A:device;
aus|machen; turn ~ off; person; A:device;
ein|schalten; switch ~ on; person; A:device; v
aus|schalten; switch ~ off; person; A:device; v
halten; hold; person; A:thing,animal; p
halten; give; person; A:speech; p v
an|halten; stop; vehicle; wo:place;
aus|halten; bear; person; A:noise; s i
be-halten; keep; person; A:portable,animal;
fallen sein; fall; portable; von.D=off:furniture; i
aus|fallen sein; be canceled; event; ; n
ein|schlafen sein; fall asleep; being; ; p i
auf|wachen sein; wake up; being; ; i
schlafen; sleep; being; ; m p h
fern|sehen; watch TV; person; ; p h
an|sehen; look at; person; A:picture,photo,person; m
ein|kaufen; shop; person; ; m p
zurück|kommen sein; come back; person; aus.D=from:city,country;
mit|kommen sein; come along; person; ;
weg|laufen sein; run away; being; ;
laufen sein; run; being; wohin:place;
laufen sein; be on; film; wo:cinema;
ab|fahren sein; leave; transit; ; n
ein|steigen sein; get on; person; in.A:transit;
aus|steigen sein; get off; person; aus.D:transit;
ab|holen; pick ~ up; person; A:person,load; p v
be-stehen; pass; person; A:exam;
be-stehen; insist; person; auf.D=on:help,decision;
be-stehen; consist; institution,event; aus.D=of:part; s n
ver-lassen; leave; person; A:building,city,room; v
sich ver-lassen; rely; person; auf.A=on:person; s
sich freuen; look forward; person; auf.A=to:event,occasion; s
sich freuen; be happy; person; über.A=about:gift; s
sich er-innern; remember; person; an.A:event,person,word; s
er-innern; remind; person; A:person an.A=of:event,occasion;
sich vor|stellen; introduce oneself; person; D=to:person; m
vor|stellen; introduce; person; D=to:person A:person;
sich.D vor|stellen; imagine; person; A:event,story; s
vor|schlagen; suggest; person; D=to:person A:idea;
nach|schlagen; look ~ up; person; A:word; v
vor|lesen; read; person; D=to:person A:text,story; m
haben; be hungry; being; !Hunger; s n
haben; be afraid; being; !Angst vor.D=of:scare; s n
haben; be right; person; !recht; s n
haben; be lucky; person; !Glück; s n
sich interessieren; be interested; person; für.A=in:topic; s
sich ärgern; be annoyed; person; über.A=about:trouble; s
sich be-schweren; complain; person; über.A=about:trouble; m
sich kümmern; take care; person; um.A=of:person,animal,plant;
sich streiten; argue; person; mit.D=with:person über.A=about:topic; p
sich unter-halten; chat; person; mit.D=with:person über.A=about:topic; p h
sich ent-schuldigen; apologize; person; bei.D=to:person; m
sich ge-wöhnen; get used; person; an.A=to:noise,city; i
sich be-werben; apply; person; um.A=for:job;
sich setzen; sit down; person; auf.A=on:seat; m
sich be-eilen; hurry; person; ;
sich aus|ruhen; rest; person; ; p
sich er-kälten; catch a cold; person; ; i
sich ver-laufen; get lost; person; wo:place; i
sich irren; be wrong; person; ; s
sich ver-späten; be late; traffic; ; s
reparieren; repair; person; A:device,vehicle,housepart; m p v
putzen; clean; person; A:window; m v
tragen; wear; person; A:clothes;
tragen; carry; person; A:load; m v
waschen; wash; person; A:clothes,vehicle; m v
malen; paint; person; A:picture; m p v
bauen; build; person; A:building; v
er-klären; explain; person; D=to:person A:problem,word; m v
schenken; give; person; D=to:person A:thing,clothes,bakery;
leihen; lend; person; D=to:person A:portable,money;
bringen; bring; person; D=to:person A:portable,dish;
mit|bringen; bring ~ along; person; A:thing,bakery,instrument;
zurück|bringen; bring ~ back; person; A:portable; v
schicken; send; person; D=to:person A:text,load,photo;
ver-kaufen; sell; person; D=to:person A:goods; v
danken; thank; person; D:person; m
folgen sein; follow; being; D:person; m
be-gegnen sein; run into; person; D:person; p i
ver-trauen; trust; person; D:person; s
wider-sprechen; contradict; person; D:person; m
gratulieren; congratulate; person; D:person zu.D=on:occasion;
kochen; cook; person; A:dish; m p
backen; bake; person; A:bakery; m v
be-stellen; order; person; A:dish,drink; p v
be-zahlen; pay; person; A:bill; v
er-höhen; raise; company; A:price; v i
zahlen; pay; person; A:bill;
gewinnen; win; person; A:prize; v
ver-dienen; earn; person; A:money;
hoffen; hope; person; auf.A=for:help,gift; s
träumen; dream; person; von.D=of:event,city; p
lachen; laugh; person; über.A=at:story,person; m
leiden; suffer; person; an.D=from:illness; y i
riechen; smell; room; nach.D=of:smell; s n
reisen sein; travel; person; wohin:city,country;
fliegen sein; fly; person; wohin:city,country;
leben; live; person; wo:country,home; y
lieben; love; person; A:person,film; s
hassen; hate; person; A:noise,film; s
ver-missen; miss; person; A:person,animal; s
retten; rescue; person; A:person,animal; m v
be-grüßen; greet; person; A:person; m v
be-obachten; watch; being; A:person,animal; m p h v
be-merken; notice; person; A:mistake,person,thief; v i
be-schreiben; describe; person; A:picture,place,thief; m v
be-nutzen; use; person; A:device,thing; v
be-wundern; admire; person; A:person,picture,building,housepart; v
be-sitzen; own; person; A:building,vehicle,animal; s y
lösen; solve; person; A:riddle; m v
planen; plan; person; A:event; m v
ab|sagen; cancel; person; A:event; v
organisieren; organize; person; A:event; v
führen; run; person; A:company; y v
führen; have; person; A:talk; p
über-setzen; translate; person; A:text; m v
prüfen; check; person; A:contract,bill; m v
speichern; save; person; A:data; v
löschen; delete; person; A:data; v
löschen; put ~ out; person; A:fire; m v
unter-schreiben; sign; person; A:contract; v
drucken; print; person; A:data,photo; v
unter-suchen; examine; person; A:animal,trouble; m v
weg|werfen; throw ~ away; person; A:portable; v
auf|räumen; tidy ~ up; person; A:room; m v
singen; sing; person; A:song; m p
tanzen; dance; person; ; m p h
weinen; cry; person; ; m p h
schwimmen sein; swim; being; in.D=in:water; m
füttern; feed; person; A:animal; m v
streicheln; pet; person; A:animal; m
fressen; eat; animal; A:food; m
jagen; chase; animal; A:animal,person; p
bellen; bark; dog; ; p h
blühen; bloom; plant; wo:garden; n
wachsen sein; grow; plant; wo:garden;
funktionieren; work; device; ; s
kaputt|gehen sein; break; device,thing,vehicle; ; i
statt|finden; take place; event; wo:place,city; n
ver-schwinden sein; disappear; person,animal,portable; ; i
unter|gehen sein; set; set; ; n
unter|gehen sein; sink; ship; ; n
auf|gehen sein; rise; set; ; n
scheinen; shine; sun; ; n
ver-brennen; burn; person; A:text,homework; 
zer-brechen; break; person; A:vessel; i
her|stellen; produce; company; A:furniture,device,clothes; v
ein|stellen; hire; company; A:person; v
ab|stellen; park; person; A:vehicle; p
aus|stellen; exhibit; person; A:picture wo:place;
ver-öffentlichen; publish; person; A:text; v
stehlen; steal; thief; A:goods; p v
ver-stecken; hide; person; A:portable,thief; m p
schneiden; cut; person; A:food; m
gießen; water; person; A:plant; m v
pflanzen; plant; person; A:plant; p v
ver-folgen; chase; person; A:thief,vehicle; v
warnen; warn; person; A:person vor.D=about:scare,storm;
schützen; protect; person; A:person,animal vor.D=from:storm; v
loben; praise; person; A:person für.A=for:idea,gift; v
kritisieren; criticize; person; A:person,decision,speech; v
reiten sein; ride; person; wohin:place; m
frühstücken; have breakfast; person; ; m p
ver-raten; reveal; person; D=to:person A:word,idea; i
fort|setzen; continue; person; A:event,task; v
ver-bringen; spend; person; +spell wo:place,city;
ver-passen; miss; person; A:transit; i
be-reuen; regret; person; A:decision,mistake; s
ab|lehnen; reject; person; A:idea; v
ver-schieben; postpone; person; A:event; v
be-enden; end; person; A:talk,break; v
"""

# Literal phrases that go with one verb or another: German = English, the commonest first.
PHRASES = {
    "music": """
        Klavier=the piano, Geige=the violin, Gitarre=the guitar, Flöte=the flute, Schlagzeug=the drums,
        Trompete=the trumpet""",
    "game": """
        Fußball=soccer, Tennis=tennis, Schach=chess, Karten=cards, Tischtennis=table tennis,
        Verstecken=hide-and-seek""",
    "language": """
        Deutsch=German, Englisch=English, Französisch=French, Spanisch=Spanish, Italienisch=Italian,
        Russisch=Russian, Chinesisch=Chinese, Griechisch=Greek, Türkisch=Turkish, Japanisch=Japanese,
        Polnisch=Polish, Schwedisch=Swedish""",
    "subject": """
        Mathematik=mathematics, Medizin=medicine, Physik=physics, Geschichte=history, Chemie=chemistry,
        Biologie=biology, Jura=law, Informatik=computer science, Philosophie=philosophy,
        Volkswirtschaft=economics, Kunst=art""",
    "transit": """
        mit dem Zug=by train, mit dem Auto=by car, mit dem Bus=by bus, mit dem Fahrrad=by bicycle,
        mit dem Schiff=by ship, mit der Straßenbahn=by streetcar, mit dem Taxi=by taxi""",
    "spell": """
        die Ferien=the vacation, den ganzen Tag=the whole day, das Wochenende=the weekend,
        den Abend=the evening, die ganze Woche=the whole week, den Sommer=the summer,
        die ganze Nacht=the whole night, den Urlaub=the holiday""",
}

# German: third person present, past, participle; `-` is what the regular rule gives.
STRONG_VERBS = """
sehen sieht sah gesehen, finden - fand gefunden, lesen liest las gelesen, schreiben - schrieb geschrieben,
essen isst aß gegessen, trinken - trank getrunken, schließen - schloss geschlossen,
tragen trägt trug getragen, waschen wäscht wusch gewaschen, verlieren - verlor verloren,
vergessen vergisst vergaß vergessen, stehen - stand gestanden, geben gibt gab gegeben, leihen - lieh geliehen,
bringen - brachte gebracht, helfen hilft half geholfen, fallen fällt fiel gefallen,
sprechen spricht sprach gesprochen, denken - dachte gedacht, bitten - bat gebeten, ziehen - zog gezogen,
lassen lässt ließ gelassen, nehmen nimmt nahm genommen, leiden - litt gelitten, riechen - roch gerochen,
fahren fährt fuhr gefahren, fliegen - flog geflogen, gehen - ging gegangen, kommen - kam gekommen,
laufen läuft lief gelaufen, schwimmen - schwamm geschwommen, sitzen - saß gesessen, liegen - lag gelegen,
rufen - rief gerufen, fangen fängt fing gefangen, halten hält hielt gehalten,
schlagen schlägt schlug geschlagen, steigen - stieg gestiegen, laden lädt lud geladen,
werfen wirft warf geworfen, gewinnen - gewann gewonnen, kennen - kannte gekannt,
treffen trifft traf getroffen, schlafen schläft schlief geschlafen, singen - sang gesungen,
reiten - ritt geritten, fressen frisst fraß gefressen, wachsen wächst wuchs gewachsen,
scheinen - schien geschienen, streiten - stritt gestritten, schweigen - schwieg geschwiegen,
werben wirbt warb geworben, scheiden - schied geschieden, stehlen stiehlt stahl gestohlen,
schwinden - schwand geschwunden, brennen - brannte gebrannt, brechen bricht brach gebrochen,
beginnen - begann begonnen, weisen - wies gewiesen, backen - backte gebacken, schneiden - schnitt geschnitten,
gießen - goss gegossen, raten rät riet geraten, schieben - schob geschoben, haben hat hatte gehabt,
sein ist war gewesen, werden wird wurde geworden, wissen weiß wusste gewusst, können kann konnte gekonnt,
müssen muss musste gemusst, wollen will wollte gewollt, sollen soll sollte gesollt,
dürfen darf durfte gedurft, schließen - schloss geschlossen
"""

# English: past and participle; the rest follow the rule.
IRREGULAR_VERBS = """
see saw seen, have had had, buy bought bought, read read read, find found found, write wrote written,
eat ate eaten, drink drank drunk, go went gone, come came come, become became become, give gave given,
forget forgot forgotten, lose lost lost, take took taken, stand stood stood, lie lay lain, sit sat sat,
know knew known, meet met met, make made made, put put put, catch caught caught, get got gotten,
understand understood understood, cost cost cost, speak spoke spoken, think thought thought, tell told told,
teach taught taught, spend spent spent, admit admitted admitted, hold held held, bear bore borne,
keep kept kept, fall fell fallen, wake woke woken, sleep slept slept, run ran run, leave left left,
wear wore worn, build built built, lend lent lent, bring brought brought, send sent sent, sell sold sold,
pay paid paid, win won won, suffer suffered suffered, fly flew flown, feel felt felt, sing sang sung,
swim swam swum, feed fed fed, grow grew grown, break broke broken, sink sank sunk, rise rose risen,
shine shone shone, hide hid hidden, steal stole stolen, cut cut cut, ride rode ridden, throw threw thrown,
begin began begun, say said said, be was been, do did done, hear heard heard, hold held held
"""

PERSON_NAMES = {
    "f": """
        Anna Maria Julia Laura Lena Eva Katrin Sabine Ute Heike Nina Petra Monika Clara Emma Lotte Frieda
        Ingrid Helga Miriam Greta""",
    "m": """
        Peter Paul Martin Julian Stefan Jan Oliver Florian Karl David Simon Bernd Anton Georg Michael Uwe
        Konrad Emil Otto Erik Ralf""",
}
SURNAMES = """
Müller Schmidt Weber Fischer Wagner Becker Hoffmann Koch Richter Klein Wolf Neumann Krüger Hartmann Lange
Krause Vogel Lehmann
"""
CITIES = """
Berlin München=Munich Hamburg Köln=Cologne Wien=Vienna Paris Rom=Rome Zürich=Zurich London Leipzig Prag=Prague
Mailand=Milan Venedig=Venice Genf=Geneva Dresden Warschau=Warsaw Moskau=Moscow Lissabon=Lisbon
Brüssel=Brussels Athen=Athens Nürnberg=Nuremberg Bremen Kopenhagen=Copenhagen Florenz=Florence Neapel=Naples
Kairo=Cairo Peking=Beijing Kiel Salzburg Straßburg=Strasbourg Bukarest=Bucharest
"""
COUNTRIES = """
Frankreich=France Italien=Italy Deutschland=Germany die_Schweiz=Switzerland Spanien=Spain Österreich=Austria
England=England Schweden=Sweden die_Türkei=Turkey Polen=Poland Griechenland=Greece Norwegen=Norway
Dänemark=Denmark Ungarn=Hungary Japan=Japan China=China Indien=India Kanada=Canada Brasilien=Brazil
Ägypten=Egypt Mexiko=Mexico Schottland=Scotland Irland=Ireland die_Ukraine=Ukraine Belgien=Belgium
Kroatien=Croatia die_Slowakei=Slovakia Marokko=Morocco Südafrika=South_Africa
"""


WHEN = {  # by the tense they ask for
    "past": """
        gestern=yesterday, letzte Woche=last week, heute Morgen=this morning, gestern Abend=last night,
        letztes Jahr=last year, vorgestern=the day before yesterday, am Montag=on Monday, vor kurzem=recently,
        damals=at that time, am Freitag=on Friday, im letzten Sommer=last summer, letzten Monat=last month,
        am Samstag=on Saturday, am Dienstag=on Tuesday, am Donnerstag=on Thursday,
        zu Weihnachten=at Christmas, am Mittwoch=on Wednesday, im letzten Winter=last winter""",
    "habit": """
        jeden Tag=every day, am Wochenende=on weekends, abends=in the evening, im Sommer=in summer,
        jeden Morgen=every morning, jede Woche=every week, montags=on Mondays, morgens=in the morning,
        nachts=at night, im Winter=in winter, freitags=on Fridays, zweimal in der Woche=twice a week,
        sonntags=on Sundays, einmal im Monat=once a month, im Herbst=in fall, im Frühling=in spring""",
    "now": """
        gerade=right now, heute=today, im Moment=at the moment, in diesem Moment=at this moment,
        schon wieder=again""",
    "future": """
        morgen=tomorrow, bald=soon, nächste Woche=next week, heute Abend=tonight,
        übermorgen=the day after tomorrow, morgen früh=tomorrow morning, nächstes Jahr=next year,
        am nächsten Montag=next Monday, nächsten Sommer=next summer, in den Ferien=during the vacation""",
    "done": "schon=already, gerade=just, bereits=already, noch nie=never, schon oft=often, endlich=finally",
}
FREQUENCY = """
oft=often, immer=always, nie=never, manchmal=sometimes, selten=rarely, meistens=usually,
fast nie=almost never, nur selten=seldom
"""
MANNER = """
schnell=quickly, langsam=slowly, leise=quietly, allein=alone, vorsichtig=carefully, geduldig=patiently,
heimlich=secretly, sorgfältig=thoroughly, fröhlich=cheerfully, freundlich=kindly, stundenlang=for hours,
schweigend=in silence, ohne Hilfe=without help, mit großer Freude=with great joy,
zum ersten Mal=for the first time, widerwillig=reluctantly, in aller Ruhe=at leisure
"""
ATTITUDE = """
leider=unfortunately, wahrscheinlich=probably, natürlich=of course, zum Glück=fortunately,
offenbar=apparently, tatsächlich=indeed, angeblich=supposedly, sicher=certainly, möglicherweise=possibly,
überraschenderweise=surprisingly
"""


ZU_VERBS = """
ver-suchen; try
vergessen; forget
planen; plan
vor|haben; intend
be-schließen; decide
an|fangen; start
ver-sprechen; promise
hoffen; hope
beginnen; begin
sich weigern; refuse
sich ent-schließen; resolve
sich be-mühen; make an effort
"""
DASS_VERBS = """
glauben; think
wissen; know
sagen; say
hoffen; hope
hören; hear
be-haupten; claim
be-merken; notice
sich freuen; be glad
ver-muten; suspect
fürchten; fear
be-zweifeln; doubt
er-klären; explain
fest|stellen; realize
be-dauern; regret
be-weisen; prove
aus|schließen; rule out
"""
OB_VERBS = """
fragen; ask
sich.D über-legen; think about
sich.D fragen; wonder
prüfen; check
er-fahren; find out
ver-raten; reveal
heraus|finden; figure out
"""
EVALUATIONS = """
schwer=difficult, wichtig=important, schön=nice, verboten=forbidden, einfach=easy, gefährlich=dangerous,
möglich=possible, unmöglich=impossible, nötig=necessary, sinnlos=pointless, üblich=customary, mühsam=tedious
"""
CONJUNCTIONS = {  # verb final, by the (main, subordinate) settings they join
    "weil=because": "past past, habit habit, habit past, past past",
    "wenn=if": "future habit, habit habit",
    "als=when": "past past",
    "obwohl=although": "past past, habit habit, habit past",
    "bevor=before": "past past, habit habit, future habit",
    "nachdem=after": "past pluperfect",
    "während=while": "past past, habit habit",
    "da=since": "past past, habit habit",
    "sobald=as soon as": "future habit, past past",
    "damit=so that": "habit can, future can, past could",
    "falls=if": "future habit, habit habit",
    "solange=as long as": "habit habit, past past",
}
CONNECTORS = {  # verb second; deshalb and those after it take the first place themselves
    "plain": "und=and, aber=but, denn=for, oder=or, doch=yet",
    "inverting": """
        deshalb=so, trotzdem=nevertheless, dann=then, außerdem=moreover, sonst=otherwise,
        schließlich=finally, dennoch=still""",
}
ONES = """
null=zero eins=one zwei=two drei=three vier=four fünf=five sechs=six sieben=seven acht=eight neun=nine
zehn=ten elf=eleven zwölf=twelve dreizehn=thirteen vierzehn=fourteen fünfzehn=fifteen sechzehn=sixteen
siebzehn=seventeen achtzehn=eighteen neunzehn=nineteen
"""
TENS = """
zehn=ten zwanzig=twenty dreißig=thirty vierzig=forty fünfzig=fifty sechzig=sixty siebzig=seventy
achtzig=eighty neunzig=ninety
"""
WEATHER = "kalt=cold, heiß=hot, dunkel=dark, spät=late, warm=warm, windig=windy, regnen=rain, schneien=snow"
RELATIVES = "Vater Mutter Bruder Schwester Sohn Tochter Onkel Tante Großmutter Großvater Neffe Nichte Cousin"
COMPANIONS = "Freund Freundin Nachbar Nachbarin Kollege Kollegin Chef Chefin Lehrer Lehrerin Gast"
CHILDREN = "Kind Junge Mädchen"
# Which determiners the nouns of some kinds take; USUAL is for the others. `-` is none, `poss` a possessive.
USUAL = "der der der der der der ein ein ein ein ein poss poss poss dies - number viele alle"
DETERMINERS = {
    "der der der der ein ein poss poss dies number jed viele alle": "person",
    "der der der poss ein dies": "place",
    "der": "sun set storm topic trouble noise scare occasion task price hardware fire",
    "der poss": "room hope garden homework bill",
    "der ein dies": "company institution building contract word",
    "der ein": "speech exam school cinema water home",
    "der dies": "lock",
    "ein": "break question decision talk illness",
    "ein - viele": "photo",
    "der -": "money",
    "-": "help smell",
    "number": "part",
}
SINGULAR = "storm topic sun set illness room scare task occasion"  # kinds that we use in the singular only
DEGREES = """
sehr=very, zu=too, ziemlich=quite, wirklich=really, besonders=particularly, erstaunlich=surprisingly,
ungewöhnlich=unusually
"""
CAUSES = "wegen=because of, trotz=despite, während=during"
ASKING = "warum=why, wann=when, wo=where, wie oft=how often, wie lange=how long, seit wann=since when"
MONTHS = """
Januar=January Februar=February März=March April=April Mai=May Juni=June Juli=July August=August
September=September Oktober=October November=November Dezember=December
"""
