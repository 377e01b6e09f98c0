//! Pictures, sounds and documents as the dialects carry them: addresses, data URLs, base64.

use freehold_types::request::MediaSource;

/// `data:image/png;base64,...` as base64 with its type; any other address as it is.
pub(crate) fn from_url(url: String) -> MediaSource {
    match parse_data_url(&url) {
        Some((media_type, data)) => MediaSource::Base64 {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        },
        None => MediaSource::Url(url),
    }
}

/// The address, or a data URL of the bytes; `None` for what no URL can say.
pub(crate) fn to_url(source: &MediaSource) -> Option<String> {
    match source {
        MediaSource::Url(url) => Some(url.clone()),
        MediaSource::Base64 { media_type, data } => Some(data_url(media_type, data)),
        MediaSource::FileId(_) | MediaSource::Text(_) => None,
    }
}

/// Writes a data URL.
pub(crate) fn data_url(media_type: &str, data: &str) -> String {
    format!("data:{media_type};base64,{data}")
}

/// A base64 data URL without parameters, as type and data. Others are left whole, so that nothing
/// of them is lost.
pub(crate) fn parse_data_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("data:")?;
    let (head, data) = rest.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?;
    let plain = !media_type.is_empty() && !media_type.contains(';');
    plain.then_some((media_type, data))
}

/// The MIME type of OpenAI's `input_audio.format`.
pub(crate) fn audio_media_type(format: &str) -> String {
    match format {
        "mp3" => "audio/mpeg".to_owned(),
        other => format!("audio/{other}"),
    }
}

/// OpenAI's `input_audio.format` for a MIME type.
pub(crate) fn audio_format(media_type: &str) -> Option<&str> {
    match media_type {
        "audio/mpeg" => Some("mp3"),
        other => other.strip_prefix("audio/"),
    }
}
