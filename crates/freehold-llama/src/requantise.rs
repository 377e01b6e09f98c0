//! Makes a smaller or rougher copy of a model file, by llama.cpp's own quantisation.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use llama_cpp_sys_2::{
    LLAMA_FTYPE_MOSTLY_Q4_0, LLAMA_FTYPE_MOSTLY_Q8_0, llama_ftype, llama_model_quantize,
    llama_model_quantize_default_params,
};

use crate::error::LoadError;
use crate::gguf::Header;
use crate::libraries;

/// A number format of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightFormat {
    /// 4 bits and a scale for 32 weights.
    Q4_0,
    /// 8 bits and a scale for 32 weights.
    Q8_0,
}

impl WeightFormat {
    const fn file_type(self) -> llama_ftype {
        match self {
            Self::Q4_0 => LLAMA_FTYPE_MOSTLY_Q4_0,
            Self::Q8_0 => LLAMA_FTYPE_MOSTLY_Q8_0,
        }
    }
}

/// Why no copy was made.
#[derive(Debug, thiserror::Error)]
pub enum RequantiseError {
    /// The model file is none, or the engine's libraries are missing.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A path that llama.cpp cannot be told.
    #[error("the path {0} holds a null byte or is not UTF-8")]
    Path(PathBuf),
    /// llama.cpp gave up; its reason is in the log.
    #[error("llama.cpp could not make the copy (code {0}); is there room for it?")]
    Failed(u32),
}

/// Writes a copy of a model with its weights in another format. Takes some seconds per gigabyte and core.
///
/// # Errors
/// When the file is no model, or the copy cannot be written.
pub fn requantise(from: &Path, to: &Path, format: WeightFormat) -> Result<(), RequantiseError> {
    // llama.cpp takes damaged files less kindly.
    Header::open(from).map_err(LoadError::from)?;
    let _backend = libraries::shared()?;
    let path = |path: &Path| {
        let text = path.to_str().and_then(|text| CString::new(text).ok());
        text.ok_or_else(|| RequantiseError::Path(path.to_owned()))
    };
    let (from, to) = (path(from)?, path(to)?);
    match quantised(&from, &to, format) {
        0 => Ok(()),
        code => Err(RequantiseError::Failed(code)),
    }
}

#[expect(
    unsafe_code,
    reason = "the binding has no safe function: both paths are C strings that live through the call, and the \
              parameters are llama.cpp's own defaults, whose pointers are null"
)]
fn quantised(from: &CString, to: &CString, format: WeightFormat) -> u32 {
    // SAFETY: as the reason above says; the function keeps nothing of what it is given.
    unsafe {
        let mut parameters = llama_model_quantize_default_params();
        parameters.ftype = format.file_type();
        parameters.allow_requantize = true;
        llama_model_quantize(from.as_ptr(), to.as_ptr(), &raw const parameters)
    }
}
