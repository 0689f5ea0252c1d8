"""Which country a nationality stands for."""

COUNTRY: dict[str, str] = {
    adjective: country
    for line in """
        United States: American; United Kingdom: British; England: English; Scotland: Scottish; Wales: Welsh;
        Ireland: Irish; France: French; Germany: German; Italy: Italian; Spain: Spanish; Portugal: Portuguese;
        Netherlands: Dutch; Belgium: Belgian, Flemish; Switzerland: Swiss; Austria: Austrian; Poland: Polish;
        Hungary: Hungarian; Czech Republic: Czech; Slovakia: Slovak; Romania: Romanian; Bulgaria: Bulgarian;
        Greece: Greek; Turkey: Turkish; Russia: Russian; Ukraine: Ukrainian; Sweden: Swedish; Norway: Norwegian;
        Denmark: Danish; Finland: Finnish; Iceland: Icelandic; Estonia: Estonian; Latvia: Latvian;
        Lithuania: Lithuanian; Serbia: Serbian; Croatia: Croatian; Slovenia: Slovenian, Slovene; Albania: Albanian;
        Georgia (country): Georgian; Armenia: Armenian; Azerbaijan: Azerbaijani; Israel: Israeli; Iraq: Iraqi;
        Iran: Iranian; Egypt: Egyptian; Libya: Libyan; Tunisia: Tunisian; Algeria: Algerian; Morocco: Moroccan;
        Nigeria: Nigerian; Ghana: Ghanaian; Senegal: Senegalese; Kenya: Kenyan; Ethiopia: Ethiopian;
        Tanzania: Tanzanian; Uganda: Ugandan; South Africa: South African; Zimbabwe: Zimbabwean; Zambia: Zambian;
        Somalia: Somali; Sudan: Sudanese; India: Indian; Pakistan: Pakistani; Bangladesh: Bangladeshi;
        Sri Lanka: Sri Lankan; Nepal: Nepalese; China: Chinese; Japan: Japanese; South Korea: South Korean;
        Vietnam: Vietnamese; Thailand: Thai; Cambodia: Cambodian; Myanmar: Burmese; Malaysia: Malaysian;
        Singapore: Singaporean; Indonesia: Indonesian; Philippines: Filipino; Australia: Australian;
        New Zealand: New Zealand; Canada: Canadian; Mexico: Mexican; Cuba: Cuban; Jamaica: Jamaican; Haiti: Haitian;
        Guatemala: Guatemalan; Nicaragua: Nicaraguan; Colombia: Colombian; Venezuela: Venezuelan;
        Ecuador: Ecuadorian; Peru: Peruvian; Bolivia: Bolivian; Chile: Chilean; Argentina: Argentine, Argentinian;
        Uruguay: Uruguayan; Paraguay: Paraguayan; Brazil: Brazilian; Lebanon: Lebanese; Syria: Syrian;
        Jordan: Jordanian; Saudi Arabia: Saudi; Mongolia: Mongolian; Kazakhstan: Kazakh; Uzbekistan: Uzbek;
        Afghanistan: Afghan; Belarus: Belarusian; Moldova: Moldovan; Cyprus: Cypriot; Malta: Maltese;
        Luxembourg: Luxembourgish; Rwanda: Rwandan; Mali: Malian; Cameroon: Cameroonian; Angola: Angolan
    """.replace("\n", " ").split(";")
    for country, adjectives in [line.split(":")]
    for country in [country.strip()]
    for adjective in [one.strip() for one in adjectives.split(",")]
}
"""Adjective → the title of its country's article. Peoples without one country of their own are left out."""
