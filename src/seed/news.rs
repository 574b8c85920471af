//! A news platform that never was: pages in up to 17 languages, with the slugs, titles and times that such platforms have.

use postrider_core::domain::UnixMs;
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value, json};

/// Languages, each with words of its headlines.
const LANGUAGES: [(&str, [&str; 12]); 17] = [
    (
        "en",
        [
            "budget", "storm", "election", "museum", "final", "railway", "harbour", "strike", "census", "verdict",
            "orchard", "bridge",
        ],
    ),
    (
        "de",
        [
            "haushalt",
            "überschwemmung",
            "wahl",
            "größe",
            "straße",
            "bahn",
            "hafen",
            "prüfung",
            "küste",
            "urteil",
            "äpfel",
            "brücke",
        ],
    ),
    (
        "fr",
        [
            "élection",
            "forêt",
            "grève",
            "musée",
            "hôpital",
            "procès",
            "côte",
            "réforme",
            "tempête",
            "île",
            "marché",
            "garçon",
        ],
    ),
    (
        "es",
        [
            "elección",
            "corazón",
            "niño",
            "huelga",
            "océano",
            "tormenta",
            "camión",
            "juicio",
            "mañana",
            "árbol",
            "fútbol",
            "puente",
        ],
    ),
    (
        "it",
        [
            "città",
            "elezioni",
            "sciopero",
            "museo",
            "libertà",
            "università",
            "tempesta",
            "ponte",
            "più",
            "perché",
            "caffè",
            "qualità",
        ],
    ),
    (
        "pt-BR",
        [
            "eleição",
            "coração",
            "greve",
            "ação",
            "oceano",
            "tempestade",
            "caminhão",
            "júri",
            "amanhã",
            "árvore",
            "avião",
            "pão",
        ],
    ),
    (
        "pl",
        [
            "wybory",
            "żółw",
            "źródło",
            "święto",
            "łódź",
            "ćma",
            "burza",
            "muzeum",
            "pociąg",
            "wyrok",
            "jabłko",
            "przyszłość",
        ],
    ),
    (
        "cs",
        ["volby", "kůň", "příroda", "řeka", "škola", "žena", "bouře", "město", "vlak", "soud", "jablko", "budoucnost"],
    ),
    ("sv", ["valet", "köping", "älv", "ö", "storm", "tåg", "hamn", "strejk", "dom", "äpple", "bro", "framtid"]),
    (
        "tr",
        ["seçim", "güneş", "ışık", "şehir", "çocuk", "fırtına", "müze", "liman", "grev", "köprü", "gelecek", "ağaç"],
    ),
    (
        "el",
        [
            "εκλογές",
            "καταιγίδα",
            "μουσείο",
            "λιμάνι",
            "απεργία",
            "γέφυρα",
            "μέλλον",
            "δίκη",
            "τρένο",
            "θάλασσα",
            "πόλη",
            "χρόνος",
        ],
    ),
    (
        "ru",
        [
            "выборы",
            "буря",
            "музей",
            "гавань",
            "забастовка",
            "мост",
            "будущее",
            "суд",
            "поезд",
            "море",
            "город",
            "время",
        ],
    ),
    (
        "uk",
        ["вибори", "буря", "музей", "гавань", "страйк", "міст", "майбутнє", "суд", "потяг", "море", "місто", "їжак"],
    ),
    ("ar", ["انتخابات", "عاصفة", "متحف", "ميناء", "إضراب", "جسر", "مستقبل", "محكمة", "قطار", "بحر", "مدينة", "وقت"]),
    ("zh-Hans", ["选举", "风暴", "博物馆", "港口", "罢工", "桥梁", "未来", "法院", "火车", "大海", "城市", "时间"]),
    ("ja", ["選挙", "嵐", "博物館", "港", "ストライキ", "橋", "未来", "裁判所", "列車", "海", "都市", "時間"]),
    ("ko", ["선거", "폭풍", "박물관", "항구", "파업", "다리", "미래", "법원", "기차", "바다", "도시", "시간"]),
];
/// Where their newsrooms are, in the same order.
const ZONES: [&str; LANGUAGES_MAX] = [
    "Europe/London",
    "Europe/Berlin",
    "Europe/Paris",
    "Europe/Madrid",
    "Europe/Rome",
    "America/Sao_Paulo",
    "Europe/Warsaw",
    "Europe/Prague",
    "Europe/Stockholm",
    "Europe/Istanbul",
    "Europe/Athens",
    "Asia/Almaty",
    "Europe/Kyiv",
    "Africa/Cairo",
    "Asia/Shanghai",
    "Asia/Tokyo",
    "Asia/Seoul",
];
const SECTIONS: [&str; 8] = ["politics", "economy", "sport", "culture", "science", "travel", "opinion", "local"];
/// How far back pages go, in milliseconds.
const YEARS_MS: i64 = 5 * 365 * 24 * 3_600_000;
pub(crate) const LANGUAGES_MAX: usize = LANGUAGES.len();

/// A platform with so many languages, a host for each.
#[derive(Debug)]
pub(crate) struct Platform {
    languages: usize,
    now: UnixMs,
}

impl Platform {
    pub(crate) const fn new(languages: usize, now: UnixMs) -> Self {
        Self { languages, now }
    }

    /// The host of a language's pages.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = String> {
        LANGUAGES[..self.languages].iter().map(|(tag, _)| format!("{}.news.example", tag.to_lowercase()))
    }

    /// What is set for it, as `PUT /v1/sites/{site}` takes it; `x_default` says which language stands for all others.
    pub(crate) fn settings(&self, x_default: usize) -> Value {
        let locale = |(at, (tag, _)): (usize, &(&str, [&str; 12]))| {
            let base_url = format!("https://{}.news.example", tag.to_lowercase());
            json!({ "tag": tag, "base_url": base_url, "publication_name": format!("The Example ({tag})"), "time_zone": ZONES[at], "x_default": at == x_default })
        };
        let locales: Vec<Value> = LANGUAGES[..self.languages].iter().enumerate().map(locale).collect();
        let sections: Vec<Value> = SECTIONS.iter().map(|key| json!({ "key": key })).collect();
        // Its hosts lead nowhere.
        json!({ "locales": locales, "sections": sections, "read_back": false })
    }

    /// The page of a number, as a line of an import: newer ones have higher numbers.
    pub(crate) fn page(&self, number: u32, of: u32, dice: &mut StdRng) -> Value {
        let age = YEARS_MS / i64::from(of.max(1)) * i64::from(of.saturating_sub(number));
        let published_at = UnixMs(self.now.0 - age - dice.random_range(0..1_000));
        let section = SECTIONS.choose(dice).copied().unwrap_or("local");
        let mut translations = Map::new();
        for (tag, words) in &LANGUAGES[..self.languages] {
            let picked: Vec<&str> = words.choose_multiple(dice, 4).copied().collect();
            let slug = format!("/{section}/{}-{number}", picked.join("-"));
            let translation = json!({
                "url": slug,
                "title": picked.join(" "),
                "summary": format!("{}.", words.choose_multiple(dice, 8).copied().collect::<Vec<_>>().join(" ")),
                "author": "A. Reporter",
                "published_at": published_at,
                "section": section,
                "image": format!("https://images.news.example/{number}.jpg"),
                "news": true,
            });
            translations.insert((*tag).to_owned(), translation);
        }
        json!({ "key": format!("article-{number}"), "translations": translations })
    }
}
