//! The words next to which a number means something, in the languages of the countries concerned.
//!
//! Words of one topic are parted by `|`. A `*` at its end lets the word go on
//! (`telefon*`); elsewhere a word counts only whole.

use super::context::Topic;

/// Every topic with its words.
pub(super) const WORDS: &[(Topic, &str)] = &[
    (
        Topic::Card,
        "card|cards|credit card|debit card|card number|card no|cc number|kreditkarte*|carte bancaire|carte de credit|\
         tarjeta de credito|tarjeta|carta di credito|cartao|cartão|creditcard*|kreditkort|karta",
    ),
    (
        Topic::Bic,
        "bic|swift|swift code|swift/bic|bic/swift|bic code|bic-code|swiftcode",
    ),
    (
        Topic::Iban,
        "iban|iban number|iban no|iban nr|iban code|international bank account|international bank account number",
    ),
    (
        Topic::Routing,
        "routing|routing number|routing no|aba|aba number|rtn|transit number|routing transit",
    ),
    (
        Topic::Account,
        "account|account number|account no|account #|acct|acct no|a/c no|a/c number|bank account|accountnumber|\
         konto|kontonummer|kontonr|kto|compte|numero de compte|cuenta|número de cuenta|numero de cuenta|\
         conto|numero di conto|conta|rekening|rekeningnummer|rachunek|konta|tilinumero|bankkonto|account id|\
         口座番号|계좌번호|hesap",
    ),
    (
        Topic::SortCode,
        "sort code|sort-code|sortcode|bankleitzahl|blz|bsb|ifsc|ifsc code",
    ),
    (
        Topic::Phone,
        "phone|phone number|phones|telephone*|tel|tel.|mobile|mobile number|cell|cell phone|cellphone|call|call me|\
         calling|call us|reach me|reach you|text me|whatsapp|fax|contact number|hotline|contact|contact me|dial|ring me|telefon*|\
         handy|handynummer|mobil*|rufnummer|anrufen|telefax|téléphone|telephone|portable|appeler|appelez|teléfono|telefono|móvil|\
         movil|celular|cellulare|numero di telefono|telefone|telemovel|telemóvel|telefoon*|gsm|tlf|tlf.|puhelin|\
         puh|komórka|telefón|телефон|тел|τηλέφωνο|電話|携帯|전화|휴대폰|电话|手机|desk|helpline|sms|text|txt|wa|answering|not answering|ringing|voicemail|landline|callback|viber|registered mobile|registered number|phone:|my number|your number|his number|her number|number to reach|phone no|ph|ph no|mob",
    ),
    (
        Topic::UsSsn,
        "ssn|ssns|social security|social security number|social_security*|socialsecurity*|social sec|soc sec|social insurance",
    ),
    (
        Topic::UsItin,
        "itin|individual taxpayer*|taxpayer identification|taxpayer id",
    ),
    (
        Topic::UsEin,
        "ein|employer identification|employer identification number|fein|federal tax id|federal tax|federal employer",
    ),
    (
        Topic::UsNpi,
        "npi|national provider|provider number|provider identifier",
    ),
    (
        Topic::UsMbi,
        "mbi|medicare beneficiary|medicare|medicare number|medicare id|hicn",
    ),
    (
        Topic::Passport,
        "passport|passports|passport number|passport no|reisepass*|reisepaß*|passnummer|passeport|pasaporte|passaporto|\
         passaporte|paspoort*|paszport*|passnr|паспорт*|διαβατήριο|旅券|パスポート|여권|护照|passi|útlevél|pașaport",
    ),
    (
        Topic::DriverLicence,
        "driver's license|driver’s license|drivers license|driver license|driving licence|driving license|driver licence|\
         driver's licence|drivers licence|licence number|license number|license no|dl number|dl no|driver's lic|driver lic|driver_licen*|\
         driving_licen*|driverlicen*|führerschein*|fuehrerschein*|\
         permis de conduire|carnet de conducir|permiso de conducir|licencia de conducir|patente di guida|carta de condução|\
         rijbewijs*|prawo jazdy|körkort*|kørekort*|førerkort*|ajokortti|cnh|dvla",
    ),
    (
        Topic::UkNino,
        "nino|national insurance|national insurance number|ni number|ni no|nin",
    ),
    (Topic::UkNhs, "nhs|nhs number|nhs no|nhs_number"),
    (
        Topic::UkUtr,
        "utr|unique taxpayer|unique taxpayer reference|self assessment",
    ),
    (
        Topic::CaSin,
        "sin|sin number|sin no|social insurance number|numéro d'assurance sociale|assurance sociale|nas",
    ),
    (Topic::AuTfn, "tfn|tax file|tax file number"),
    (Topic::AuAbn, "abn|australian business number"),
    (Topic::AuMedicare, "medicare|medicare card|medicare number"),
    (
        Topic::InAadhaar,
        "aadhaar|aadhar|adhaar|adhar|uidai|uid|आधार|aadhaar*|aadhar*",
    ),
    (
        Topic::InPan,
        "pan|pan card|pan number|pan no|permanent account number|income tax",
    ),
    (Topic::InGst, "gst|gstin|gst number"),
    (Topic::Voter, "voter id|voter*|epic number|electoral"),
    (Topic::SgNric, "nric|fin|nric no|nric/fin"),
    (
        Topic::KrRrn,
        "rrn|resident registration|주민등록번호|주민번호|외국인등록번호|resident number",
    ),
    (
        Topic::JpMyNumber,
        "my number|mynumber|マイナンバー|個人番号|individual number",
    ),
    (Topic::BrCpf, "cpf|cadastro de pessoas"),
    (Topic::BrCnpj, "cnpj|cadastro nacional"),
    (
        Topic::ZaId,
        "sa id|south african id|rsa id|id number|id no|identity number|identiteitsnommer|id-nommer",
    ),
    (
        Topic::EsDni,
        "dni|nie|nif|cif|documento nacional|documento de identidad",
    ),
    (
        Topic::FrNir,
        "nir|insee|sécurité sociale|securite sociale|numéro de sécu|carte vitale|numéro fiscal|spi",
    ),
    (
        Topic::DeTax,
        "steuer-id|steuerid|steuer id|steuer-idnr|idnr|steueridentifikation*|identifikationsnummer|steuerliche*|tin|steuernummer|\
         tax id|tax-id",
    ),
    (
        Topic::DeId,
        "personalausweis*|ausweisnummer|ausweis|ausweis-nr|perso|identity card|id card",
    ),
    (
        Topic::DeSocial,
        "sozialversicherung*|rentenversicherung*|svnr|sv-nummer|sv-nr|versicherungsnummer|krankenversicherung*|versichertennummer|kvnr",
    ),
    (Topic::ItCf, "codice fiscale|cod. fiscale|cod fisc|c.f.|cf"),
    (Topic::ItPiva, "partita iva|p. iva|p.iva|piva"),
    (
        Topic::NlBsn,
        "bsn|burgerservicenummer|sofinummer|sofi-nummer|burgerservice*",
    ),
    (
        Topic::BeNn,
        "rijksregister*|rijksregisternummer|registre national|numéro national|numero national|nationaal nummer|insz|niss|rrn|nrn",
    ),
    (Topic::PlPesel, "pesel|nr pesel|numer pesel"),
    (Topic::PlNip, "nip|numer identyfikacji podatkowej|nr nip"),
    (Topic::PlRegon, "regon"),
    (
        Topic::PtNif,
        "nif|contribuinte|número fiscal|numero fiscal|nipc|nif:",
    ),
    (
        Topic::SePn,
        "personnummer|personnr|samordningsnummer|pnr|organisationsnummer|orgnr",
    ),
    (
        Topic::FiHetu,
        "henkilötunnus|hetu|henkilotunnus|personbeteckning|sotu",
    ),
    (
        Topic::DkCpr,
        "cpr|cpr-nummer|cpr-nr|cpr nr|cpr-nr.|personnummer",
    ),
    (
        Topic::NoFnr,
        "fødselsnummer|fodselsnummer|fnr|personnummer|d-nummer|fødselsnr",
    ),
    (
        Topic::IePps,
        "pps|ppsn|pps number|pps no|personal public service",
    ),
    (
        Topic::AtSv,
        "svnr|sozialversicherung*|sv-nummer|sv-nr|versicherungsnummer|e-card",
    ),
    (Topic::ChAhv, "ahv|avs|ahv-nummer|ahvn13|numéro avs|oasi"),
    (
        Topic::CzRc,
        "rodné číslo|rodne cislo|rodného čísla|rodné|r. č.|rč|r.č.|birth number",
    ),
    (Topic::RoCnp, "cnp|cod numeric personal"),
    (Topic::BgEgn, "егн|egn|единен граждански номер"),
    (Topic::GrAmka, "αμκα|amka|α.μ.κ.α."),
    (Topic::GrAfm, "αφμ|afm|α.φ.μ.|αριθμός φορολογικού"),
    (
        Topic::HuTaj,
        "taj|taj szám|taj-szám|tajszám|társadalombiztosítási",
    ),
    (Topic::HuTax, "adóazonosító*|adószám*|adóazonosító jel"),
    (Topic::HrOib, "oib|osobni identifikacijski broj"),
    (
        Topic::Baltic,
        "isikukood|isikukoodi|asmens kodas|asmens kodo|personas kods|personas kodu|a.k.|a/k|personal code|p.k.",
    ),
    (
        Topic::Emso,
        "emšo|emso|jmbg|јмбг|matični broj|maticni broj|davčna številka",
    ),
    (
        Topic::LuId,
        "matricule|cns|numéro d'identification national|matricule nationale|identification number",
    ),
    (Topic::CyTin, "tic|tin|φορολογικού|arc"),
    (
        Topic::MtId,
        "karta tal-identità|karta tal-identita|id card|maltese id",
    ),
    (
        Topic::Vat,
        "vat|vat id|vat number|vat no|vat reg|vat registration|ust-id|ust-idnr|ust-id-nr|ust.-id|ustid|ustidnr|umsatzsteuer*|tva|\
         intracommunautaire|iva|partita iva|btw|btw-nummer|btw-nr|moms|momsnr|dph|dič|dic|pvm|alv|áfa|ддс|uid-nummer|uid",
    ),
    (
        Topic::Tax,
        "tax id|tax id number|tax identification|tax number|tax no|taxpayer|taxid|tax_id*|tin|tin number|tax identification number|steuer*|fiscal|impôt|numéro fiscal|\
         contribuyente|contribuinte|skatt*|belasting*|podatk*|taxe",
    ),
    (
        Topic::NationalId,
        "national id|national identity|national identification|identity card|identity number|id card|id number|identification number|\
         national number|personal number|personal id|personal identification|citizen id|citizenship number|government id|\
         state id|identity document|id document|ausweis*|carte d'identité|cédula|cedula|carta d'identità|\
         documento d'identità|identiteitskaart|dowód osobisty|id-kort|henkilökortti|občanský průkaz|személyi igazolvány|\
         osobna iskaznica|лична карта|ταυτότητα|身份证|身分証|신분증|national_id*|nationalid*|curp|rut",
    ),
    (
        Topic::Health,
        "health insurance|health card|health number|health id|insurance number|insurance no|insurance id|insurance policy|policy number|policy no|policy id|\
         member id|member number|subscriber id|subscriber number|group number|krankenkasse*|mutuelle|tarjeta sanitaria|\
         tessera sanitaria|zorgverzekering*|ehic|insurance|policy|policy #|policyholder id|policyholder|claim number|claim id|claim no|claim #|claim",
    ),
    (
        Topic::PersonalNumber,
        "customer id|customer number|customer no|client id|client number|employee id|employee number|employee no|staff id|badge number|\
         student id|student number|student no|user id|userid|user_id|membership number|membership id|member no|\
         case number|case no|case id|file number|kundennummer|kunden-nr|personalnummer|\
         matrikelnummer|mitgliedsnummer|aktenzeichen|numéro client|número de cliente|numero cliente|klantnummer|\
         kundenummer|numer klienta|loan number|loan id|loan account|licence id|police id|arrest number|inmate|\
         security number|enrollment number|registration number|alien number|visa number|visa no|green card|uscis|a-number|\
         frequent flyer|loyalty|personnel number",
    ),
    (
        Topic::Vin,
        "vin|vin number|vehicle identification|chassis|chassis number|fahrgestellnummer|fin|fahrzeug-identifizierungs*|bastidor|telaio|châssis",
    ),
    (
        Topic::Plate,
        "license plate|licence plate|number plate|registration plate|vehicle registration|plate number|plate no|car registration|reg plate|plate|\
         kennzeichen|nummernschild|plaque d'immatriculation|immatriculation|matrícula|matricula|targa|kenteken*|rejestrac*|\
         registreringsnummer|nummerplade",
    ),
    (Topic::Imei, "imei|imei number|imeisv|meid"),
    (
        Topic::Wallet,
        "bitcoin|btc|ethereum|eth|wallet|wallet address|crypto|usdt|usdc|litecoin|dogecoin|erc20|erc-20|metamask|ether|cryptocurrency|ledger|deposit address|solana|sol|tron|trx|monero|xmr|ripple|xrp",
    ),
    (
        Topic::Birth,
        "born|born on|dob|d.o.b|d.o.b.|date of birth|birth date|birthdate|birthday|birth_date|date_of_birth|dateofbirth|birth|\
         geboren|geb.|geb|geburtsdatum|geburtstag|né le|née le|né|née|date de naissance|naissance|nacido|nacida|nació|\
         fecha de nacimiento|nacimiento|nato il|nata il|nato|nata|data di nascita|nascita|nascido|nascida|data de nascimento|\
         nascimento|geboortedatum|urodzony|urodzona|ur.|data urodzenia|urodzenia|född|født|fødselsdato|fødselsdag|födelsedatum|syntynyt|\
         syntymäaika|narozen|narozena|datum narození|született|születési|născut|data nașterii|роден|дата на раждане|γεννήθηκε|\
         ημερομηνία γέννησης|生年月日|생년월일|出生日期|出生|родился|дата рождения|dd/mm/yyyy",
    ),
    (
        Topic::AgeBefore,
        "age|aged|turned|turn|turning|i am|i'm|im|he is|she is|he's|she's|he was|she was|i was|she’s|he’s|i’ll turn|i'll turn|will turn|alter|âgé de|âgée de|edad|età|leeftijd|wiek|âge|i’m|age:|at the age of|the age of",
    ),
    (
        Topic::AgeAfter,
        "year old|years old|year-old|years-old|yr old|yrs old|yr-old|y/o|y.o.|yo|year olds|years of age|jahre alt|jähriger|jährige|ans|años|anos|\
         anni|jaar oud|lat|år gammel|år gammal|years young|歳|살|岁|yrs|year",
    ),
    (
        Topic::Postcode,
        "zip|zip code|zipcode|zip-code|zip_code|postal code|postalcode|postal_code|postcode|post code|plz|postleitzahl|code postal|código postal|codigo postal|\
         cep|kod pocztowy|postnummer|postinumero|psč|irányítószám|pincode|pin code|postcode:|eircode|郵便番号|우편번호|邮编",
    ),
    (
        Topic::Address,
        "address|addresses|address is|lives at|live at|living at|lived at|live in|lives in|reside at|resides at|residing at|located at|location|office is at|deliver to|delivered to|sent to|ship to|shipped to|shipping address|\
         my place|meet me at|meet at|come to|moved to|move to|stay at|staying at|home at|drops you off at|drop me off at|corner of|adresse|anschrift|wohnhaft|wohnt|wohne|adresa|dirección|direccion|indirizzo|residente|\
         morada|endereço|adres|adress|osoite|cím|διεύθυνση|адрес|住所|주소|地址|domicilio|domicile|vivo en|vive en|habite|abita|woon|woont|resides in|our office|arrived at|meet you at|taxi to|ride to|is at|are at|drop off at|pick up at|picked up at|pick me up at|bill to|billing address|residence|new address|send it to|mail it to|office at",
    ),
    (
        Topic::StreetAfterName,
        "street|st|avenue|ave|road|rd|boulevard|blvd|lane|ln|drive|dr|court|ct|place|pl|square|sq|terrace|\
         highway|hwy|parkway|pkwy|crescent|cres|close|alley|trail|trl|mews|gardens|grove|row|plaza|expressway|turnpike|\
         broadway|embankment|rise|esplanade|circle|cir|loop|path|pike|walk|wharf|quay|crossing|junction|ridge|heights|hill|bend|way",
    ),
    (
        Topic::StreetEnd,
        "utca|út|tér|körút|u.|sokak|caddesi|ulica|cesta|iela|gatvė|straße|strasse|platz|allee|weg|gade|laan|straat|plein|gatan|vägen|katu|tie|vej",
    ),
    (
        Topic::StreetBeforeName,
        "rue|avenue|boulevard|chemin|impasse|quai|allée|via|viale|piazza|piazzetta|corso|vicolo|largo|strada|calle|avenida|\
         plaza|paseo|camino|carrer|carretera|rua|travessa|praça|av.|avda|avda.|ul.|ulica|aleja|al.|os.|pl.|plac|str.|strada|bulevardul|calea|улица|ул.|οδός|\
         c/|bd|bld|place|route|cours|contrada|borgo|ronda|rambla|vila|rúa|jalan|jl.|carrera|cra|cl",
    ),
    (
        Topic::Unit,
        "apt|apt.|apartment|suite|ste|ste.|unit|flat|p.o. box|po box|p.o.box|postfach|boîte postale|apartado|lgh|wohnung|piso",
    ),
    (
        Topic::Month,
        "january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul|aug|\
         sep|sept|oct|nov|dec|jan.|feb.|mar.|apr.|jun.|jul.|aug.|sep.|sept.|oct.|nov.|dec.|januar|februar|märz|mai|juni|juli|\
         oktober|dezember|jänner|januari|februari|maart|mei|augustus|janvier|février|mars|avril|juin|juillet|août|septembre|\
         octobre|novembre|décembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre|noviembre|diciembre|\
         gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre|janeiro|fevereiro|março|maio|junho|julho|\
         setembro|outubro|novembro|dezembro|stycznia|lutego|marca|kwietnia|maja|czerwca|lipca|sierpnia|września|października|\
         listopada|grudnia|desember|toukokuuta|maj|augusti|ianuarie|februarie|martie|aprilie|iunie|iulie|januára|февраля|января|\
         марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря",
    ),
    (
        Topic::Version,
        "version|versions|v|ver|ver.|release|releases|firmware|kernel|upgrade|upgraded|downgrade|build|driver version|semver|patch|section|chapter|oid|clause|rfc|§",
    ),
    // Numbers next to these are not about a person.
    (
        Topic::Other,
        "order|order number|order no|order id|order #|invoice|invoice number|invoice no|tracking|tracking number|tracking no|sku|isbn|issn|ean|upc|\
         part number|part no|serial number|serial no|serial|model number|model no|item number|product id|product code|ticket|ticket number|ticket id|\
         transaction|transaction id|reference|reference number|ref|ref no|confirmation number|commit|sha|checksum|hash|md5|timestamp|\
         epoch|offset|lines of code|port|pid|process|thread|error code|exit code|status code|bytes|size|width|height|\
         latitude|longitude|coordinates|lat|lng|lon|gene|doi|arxiv|pmid|patent|catalog|article number|lot|batch|bestellnummer|rechnung*|\
         artikelnummer|numéro de commande|commande|pedido|factura|ordine|fattura|zamówienie|faktura|seed|uuid|guid|request id|trace id|\
         quantity|population|docket|flight|flight number|room|pixels|px|dataset|chromosome",
    ),
];

/// What names of streets end with where the street is part of the name.
pub(super) const STREET_ENDINGS: &[&str] = &[
    "straße", "strasse", "str.", "str", "gasse", "platz", "allee", "weg", "damm", "ufer", "ring",
    "laan", "straat", "plein", "gracht", "kade", "steeg", "gade", "vej", "gatan", "vägen", "gata",
    "gaten", "veien", "vegen", "katu", "tie", "kuja", "polku", "utca", "tänav", "stræde", "allé",
    "plads", "stien", "torget", "torv",
];
