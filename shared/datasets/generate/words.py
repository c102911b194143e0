"""Words of which generated titles and tags are made."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split(";"))


ADJECTIVES = _words(
    """
    Amber Ancient Angry Autumn Bitter Black Blind Blue Borrowed Brave Bright Broken Burning Captive
    Careful Clever Cold Common Cracked Crimson Crooked Crystal Curious Dangerous Dark Dead Deep
    Desperate Distant Double Empty Endless Eternal Faded Fallen False Final First Forgotten Fragile
    Frozen Gentle Gilded Golden Grand Green Grey Guilty Half Happy Hidden Hollow Honest Hungry Idle
    Infinite Innocent Invisible Iron Jealous Last Little Lonely Long Lost Loud Lucky Mad Midnight
    Missing Modern Naked Narrow New Noble Northern Old Open Other Painted Pale Paper Patient Perfect
    Plain Private Proud Quiet Ragged Reckless Red Restless Royal Sacred Scarlet Second Secret Shallow
    Silent Silver Simple Sleeping Slow Small Southern Stolen Strange Sudden Sunken Sweet Tender Thin
    Third Unfinished Velvet Violent Wandering Warm White Wicked Wild Winter Wooden Young
    """
)

NOUNS = _words(
    """
    Affair Alibi Angel Anthem Apartment Army Arrow Avenue Ballad Banquet Barber Bargain Battle Beach
    Bell Bird Boat Border Bride Bridge Brother Candle Captain Carnival Castle Chance Circus City
    Clockmaker Cloud Coast Compass Concert Confession Copper Corner Cottage Courier Crossing Crown
    Dancer Daughter Dawn Debt Departure Desert Detective Diary Dinner Doctor Dog Door Dream Driver Dust
    Echo Eclipse Empire Engine Error Escape Evening Exile Express Face Factory Farewell Father Feather
    Ferry Festival Fire Flight Flood Forest Fortune Fountain Fox Friend Frontier Funeral Gambler Game
    Garden Gate Ghost Giant Glass Guest Guitar Hand Harbor Harvest Heart Heir Hero Highway Horizon Horse
    Hotel Hour House Hunter Illusion Island Journey Judge Jungle Key Kingdom Kite Knight Ladder Lake
    Lantern Lawyer Legend Letter Lie Light Lion Machine Magician Map March Market Mask Memory Mile
    Mirror Mission Moon Morning Mother Mountain Murder Museum Night Ocean Orchard Orphan Outlaw Painter
    Palace Parade Passenger Photograph Piano Pilot Pirate Planet Poet Portrait Promise Prophet Queen
    Question Race Railway Rain Rebel Reunion Ring River Road Robot Room Rumor Sailor School Sea Season
    Secret Shadow Ship Silence Sister Sky Smile Snow Soldier Song Spy Stage Star Station Storm Stranger
    Street Student Summer Swimmer Sword Tailor Teacher Theory Thief Thread Throne Tide Tiger Tower Town
    Traitor Treasure Trial Tunnel Valley Verdict Village Violin Visitor Voice Voyage Wager Waiter Wall
    War Wedding Whisper Widow Window Wing Wish Witness Wolf Word World Year
    """
)

NAMES = _words(
    """
    Ada Agnes Alma Anton Arthur Basil Bella Boris Bruno Camille Carmen Clara Conrad Cora Daniel Della
    Desmond Dora Edgar Edith Elena Elias Emma Ernest Esther Eva Felix Fiona Flora Frank George Gloria
    Grace Greta Gus Hana Harold Hector Helen Henry Hugo Ida Igor Ines Iris Isaac Ivan Jack Jonas Josef
    Julia Karin Katya Laura Lena Leo Lily Louis Lucia Magnus Marcus Marta Max Mina Miriam Mona Nadia
    Nina Nora Olga Oscar Otto Paula Pearl Petra Rosa Ruth Samuel Simon Sofia Stella Sylvia Theo Tomas
    Vera Victor Viola Walter Wanda Yuri Zelda
    """
)

PLACES = _words(
    """
    Alaska Algiers Amsterdam Athens Avalon Baltimore Bangkok Barcelona Berlin Bombay Boston Bristol
    Brooklyn Budapest Cairo Calcutta Casablanca Chicago Copenhagen Cordoba Dakar Damascus Delhi Denver
    Dublin Florence Galway Geneva Hanoi Havana Istanbul Jakarta Kansas Kyoto Lisbon London Madrid Manila
    Marseille Memphis Milan Montana Naples Nebraska Nevada Odessa Oslo Palermo Paris Prague Rome Saigon
    Salzburg Seville Shanghai Stockholm Sydney Tangier Texas Tokyo Toledo Trieste Utah Venice Vienna
    Warsaw Yukon Zanzibar
    """
)

FOREIGN = _phrases(
    """
    Le Château d'Été; El Corazón Salvaje; Die Brücke am Fluß; La Señorita de Cádiz; Ænigma; Fjärran från
    Öland; Três Irmãos; L'Été à Nîmes; Der Schlüssel; Čas lásky; Życie na wsi; Übermorgen; Noël à
    Québec; Kärlek på Åland
    """
)

TAGS = _phrases(
    """
    action; adventure; aliens; alternate reality; animals; anime; atmospheric; based on a book; based on
    a comic; based on a play; based on a true story; black and white; black comedy; boring; boxing;
    buddy movie; business; car chase; cars; child actors; christmas; cinematography; classic; clever;
    coming of age; conspiracy; courtroom; criterion; cult film; dance; dark; dark comedy; deadpan;
    death; dialogue; disaster; documentary; dogs; dragons; dreamlike; drugs; dystopia; epic; espionage;
    ethnic conflict; family; fantasy world; fast paced; father and son; feel-good; female lead;
    feminism; film noir; flashbacks; food; foreign; friendship; funny; futuristic; gangsters; ghosts;
    golden age; good soundtrack; gothic; gritty; haunting; heist; high school; historical; holocaust;
    horror; hostages; imdb top 250; immigrants; independent film; interesting; journalism; kidnapping;
    kids; loneliness; long; love story; low budget; mafia; magic; martial arts; melancholy; memory;
    mental illness; military; monsters; multiple storylines; murder; musical; mystery; mythology;
    narrated; new york; nonlinear; nostalgic; oscar winner; parody; police; politics; predictable;
    prison; psychological; quirky; racism; remake; revenge; road trip; robots; romantic; sad; satire;
    sci-fi; sequel; serial killer; slow; small town; space; sports; stylized; surreal; suspense; time
    travel; twist ending
    """
)
"""128 tags, each with a row in the tag genome."""

ODD_TAGS = (
    'the "director\'s cut"',
    "slow, but worth it",
    "cinéma vérité",
    "Oscar (Best Picture)",
    "good, bad, ugly",
    "déjà vu",
    '"quotable"',
    "1980s",
)
"""Tags with the commas, quotes and letters that a reader must cope with; not part of the genome."""
