//! A loaded model with all that belongs to a conversation with it.

use std::sync::Arc;

use crate::chat::literal::SpecialTexts;
use crate::chat::template::ChatTemplate;
use crate::engine::{Engine, ShutDown};
use crate::error::LoadError;
use crate::model_info::ModelInfo;
use crate::settings::EngineSettings;

/// A loaded model with its chat template.
#[derive(Debug)]
pub struct EmbeddedModel {
    engine: Arc<Engine>,
    template: ChatTemplate,
    special_texts: SpecialTexts,
}

impl EmbeddedModel {
    /// Loads a model. Takes seconds: call it where blocking is allowed.
    ///
    /// # Errors
    /// When the file, the settings or the machine do not allow it; see [`LoadError`].
    pub fn load(settings: &EngineSettings) -> Result<Self, LoadError> {
        Self::new(Arc::new(Engine::load(settings)?))
    }

    /// Puts a loaded engine to conversation.
    ///
    /// # Errors
    /// When the model's chat template cannot be parsed.
    pub fn new(engine: Arc<Engine>) -> Result<Self, LoadError> {
        let source = engine.info().chat_template.as_deref();
        let template = ChatTemplate::new(source, engine.begin_text(), engine.end_text())?;
        let special_texts = SpecialTexts::new(engine.special_texts());
        Ok(Self {
            engine,
            template,
            special_texts,
        })
    }

    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// What the model says about itself.
    pub fn info(&self) -> &ModelInfo {
        self.engine.info()
    }

    /// Takes no more requests, lets those at hand finish or cuts them short, and waits. Blocks.
    pub fn shut_down(&self, how: ShutDown) {
        self.engine.shut_down(how);
    }

    pub(crate) const fn template(&self) -> &ChatTemplate {
        &self.template
    }

    pub(crate) const fn special_texts(&self) -> &SpecialTexts {
        &self.special_texts
    }
}
