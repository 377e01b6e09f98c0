use std::collections::BTreeMap;

use serde_json::json;

use super::*;

#[track_caller]
fn near(value: f64, expected: f64, share: f64) {
    assert!(
        (value / expected - 1.0).abs() <= share,
        "{value} is not within {share} of {expected}"
    );
}

#[test]
fn every_row_of_the_table_is_read() {
    let text = include_str!("../data/models.csv");
    let rows = text.lines().filter(|line| !line.starts_with('#')).count() - 1;
    let all = ModelShape::catalogue();
    assert_eq!(all.len(), rows);
    for (shape, source) in all {
        assert!(source.contains('/'), "{source}");
        assert_eq!(ModelShape::find(&shape.name).unwrap(), shape);
        assert!(shape.clone().checked().is_ok());
    }
}

#[test]
fn parameters_are_what_the_makers_state() {
    let stated = [
        ("Llama-2-7B", 6.74, 6.74),
        ("Llama-3.1-8B", 8.03, 7.5),
        ("Llama-3.1-70B", 70.6, 69.5),
        ("Llama-3.1-405B", 405.9, 403.7),
        ("Mistral-7B", 7.25, 7.11),
        ("Mixtral-8x7B", 46.7, 12.8),
        ("Qwen3-8B", 8.19, 7.57),
        ("Qwen3-14B", 14.77, 13.99),
        ("Qwen3-32B", 32.76, 31.98),
        ("Qwen3-30B-A3B", 30.5, 3.04),
        ("Qwen3-235B-A22B", 235.1, 21.6),
        ("gpt-oss-20b", 20.9, 3.6),
        ("gpt-oss-120b", 116.8, 5.1),
        ("DeepSeek-V3", 671.0, 36.6),
        ("GLM-4.5-Air", 106.0, 12.0),
        ("Kimi-K2", 1026.0, 31.5),
        ("Gemma-3-27B", 27.0, 27.0),
        ("Gemma-2-9B", 9.24, 9.24),
        ("Llama-3.2-1B", 1.24, 1.24),
        ("SmolLM2-135M", 0.1345, 0.1345),
        ("Falcon-180B", 179.5, 179.5),
        ("BLOOM-176B", 176.2, 176.2),
    ];
    for (name, total, active) in stated {
        let shape = ModelShape::find(name).unwrap();
        println!(
            "{name} {} {}",
            shape.parameters() / 1e9,
            shape.active_parameters() / 1e9
        );
        near(shape.parameters() / 1e9, total, 0.02);
        near(shape.active_parameters() / 1e9, active, 0.09);
    }
}

#[test]
fn names_with_owner_and_tuning_are_found() {
    for (typed, found) in [
        ("meta-llama/Llama-3.1-8B-Instruct", "Llama-3.1-8B"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", "Qwen3-235B-A22B"),
        ("mistralai/Mistral-7B-Instruct-v0.2", "Mistral-7B"),
        ("LLaMA 7B", "Llama-2-7B"),
        ("deepseek-ai/DeepSeek-R1", "DeepSeek-V3"),
    ] {
        assert_eq!(ModelShape::find(typed).unwrap().name, found, "{typed}");
    }
    let told = ModelShape::find("Qwen3-33B").unwrap_err().to_string();
    assert!(
        told.contains("Qwen3-32B") && told.contains("config.json"),
        "{told}"
    );
}

#[test]
fn weights_and_cache_by_hand() {
    let llama = ModelShape::find("Llama-3.1-8B").unwrap();
    // 8.03e9 weights in 16 bits.
    near(llama.weight_bytes(Weights::Bf16), 16.06e9, 0.002);
    // 32 layers x 2 x 8 heads x 128 x 2 bytes = 128 KiB a token.
    assert_eq!(llama.cache_bytes(1.0, CacheType::Sixteen), 131_072.0);
    assert_eq!(llama.cache_bytes(10.0, CacheType::Eight), 655_360.0);
    // Embeddings and output stay in 16 bits: 6.98e9 x 1 + 2 x 0.525e9 x 2.
    near(llama.weight_bytes(Weights::Fp8), 6.98e9 + 2.1e9, 0.002);
    // gpt-oss-120b is published as 61 GiB.
    let oss = ModelShape::find("gpt-oss-120b").unwrap();
    near(oss.weight_bytes(oss.native), 65.2e9, 0.02);
    // Half its layers keep 128 tokens only.
    let per_layer = 2.0 * 8.0 * 64.0 * 2.0;
    let expected = (18.0 * 1_000.0 + 18.0 * 128.0) * per_layer;
    assert_eq!(oss.cache_bytes(1_000.0, CacheType::Sixteen), expected);
    // DeepSeek caches 576 numbers a layer.
    let deepseek = ModelShape::find("DeepSeek-V3").unwrap();
    assert_eq!(
        deepseek.cache_bytes(1.0, CacheType::Sixteen),
        61.0 * 576.0 * 2.0
    );
}

#[test]
fn a_config_of_a_dense_model_is_read() {
    let config = json!({
        "model_type": "qwen3", "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288, "vocab_size": 151936,
        "tie_word_embeddings": false, "max_position_embeddings": 40960, "torch_dtype": "bfloat16",
        "sliding_window": null, "use_sliding_window": false, "max_window_layers": 36
    });
    let read = ModelShape::from_hugging_face("Qwen3-8B", &config).unwrap();
    assert_eq!(read, ModelShape::find("Qwen3-8B").unwrap());
}

#[test]
fn configs_of_mixtures_are_read() {
    let kinds = ["sliding_attention", "full_attention"].repeat(18);
    let config = json!({
        "model_type": "gpt_oss", "hidden_size": 2880, "num_hidden_layers": 36, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 2880, "vocab_size": 201088,
        "max_position_embeddings": 131072, "num_local_experts": 128, "num_experts_per_tok": 4,
        "sliding_window": 128, "tie_word_embeddings": false,
        "layer_types": kinds,
        "quantization_config": {"quant_method": "mxfp4"}
    });
    let read = ModelShape::from_hugging_face("gpt-oss-120b", &config).unwrap();
    assert_eq!(read, ModelShape::find("gpt-oss-120b").unwrap());
    let config = json!({
        "model_type": "deepseek_v3", "hidden_size": 7168, "num_hidden_layers": 61,
        "num_attention_heads": 128, "num_key_value_heads": 128, "head_dim": 128, "intermediate_size": 18432,
        "vocab_size": 129280, "max_position_embeddings": 163840, "n_routed_experts": 256,
        "num_experts_per_tok": 8, "moe_intermediate_size": 2048, "n_shared_experts": 1,
        "first_k_dense_replace": 3, "kv_lora_rank": 512, "q_lora_rank": 1536, "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128, "v_head_dim": 128, "tie_word_embeddings": false,
        "quantization_config": {"quant_method": "fp8", "fmt": "e4m3"}
    });
    let read = ModelShape::from_hugging_face("DeepSeek-V3", &config).unwrap();
    assert_eq!(read, ModelShape::find("DeepSeek-V3").unwrap());
}

#[test]
fn a_nested_config_and_a_quantised_one_are_read() {
    let config = json!({"model_type": "gemma3", "text_config": {
        "model_type": "gemma3_text", "hidden_size": 3840, "num_hidden_layers": 48,
        "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256, "intermediate_size": 15360,
        "vocab_size": 262208, "max_position_embeddings": 131072, "sliding_window": 1024,
        "sliding_window_pattern": 6
    }});
    let read = ModelShape::from_hugging_face("Gemma-3-12B", &config).unwrap();
    assert_eq!(read, ModelShape::find("Gemma-3-12B").unwrap());
    for (method, weights) in [
        (json!({"quant_method": "awq", "bits": 4}), Weights::Int4),
        (
            json!({"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 8, "type": "float"}}}}),
            Weights::Fp8,
        ),
        (
            json!({"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int"}}}}),
            Weights::Int4,
        ),
        (
            json!({"quant_method": "modelopt", "quant_algo": "NVFP4"}),
            Weights::Nvfp4,
        ),
    ] {
        let mut config = config.clone();
        config["quantization_config"] = method;
        assert_eq!(
            ModelShape::from_hugging_face("m", &config).unwrap().native,
            weights
        );
    }
}

#[test]
fn configs_without_sense_are_told() {
    let told = ModelShape::from_hugging_face("adapter", &json!({"r": 8})).unwrap_err();
    assert!(told.to_string().contains("hidden_size"), "{told}");
    let config = json!({"hidden_size": "wide", "num_attention_heads": 1});
    let told = ModelShape::from_hugging_face("odd", &config).unwrap_err();
    assert!(told.to_string().contains("not a whole number"), "{told}");
    let config = json!({
        "hidden_size": 64, "num_attention_heads": 0, "num_hidden_layers": 2, "vocab_size": 10,
        "intermediate_size": 128
    });
    let told = ModelShape::from_hugging_face("odd", &config).unwrap_err();
    assert!(told.to_string().contains("attention heads is 0"), "{told}");
}

fn gguf(entries: &[(&str, f64)]) -> BTreeMap<String, GgufValue> {
    let mut map: BTreeMap<String, GgufValue> = entries
        .iter()
        .map(|(key, value)| (format!("llama.{key}"), GgufValue::Number(*value)))
        .collect();
    let text = GgufValue::Text("llama".to_owned());
    map.insert("general.architecture".to_owned(), text);
    map.insert("general.file_type".to_owned(), GgufValue::Number(3.0));
    let tokens = GgufValue::Length(49_152);
    map.insert("tokenizer.ggml.tokens".to_owned(), tokens);
    map
}

#[test]
fn a_gguf_file_is_read() {
    let metadata = gguf(&[
        ("embedding_length", 576.0),
        ("attention.head_count", 9.0),
        ("attention.head_count_kv", 3.0),
        ("block_count", 30.0),
        ("feed_forward_length", 1_536.0),
        ("context_length", 8_192.0),
    ]);
    let read = ModelShape::from_gguf("SmolLM2-135M", &metadata).unwrap();
    let known = ModelShape::find("SmolLM2-135M").unwrap();
    let expected = ModelShape {
        native: Weights::Q4_1,
        has_tied_embeddings: false,
        ..known
    };
    assert_eq!(read, expected);
}

#[test]
fn gguf_files_without_sense_are_told() {
    let told = ModelShape::from_gguf("none", &BTreeMap::new()).unwrap_err();
    assert!(told.to_string().contains("general.architecture"), "{told}");
    let metadata = gguf(&[
        ("embedding_length", 1e30),
        ("attention.head_count", 1.0),
        ("block_count", 1.0),
    ]);
    let told = ModelShape::from_gguf("huge", &metadata).unwrap_err();
    assert!(told.to_string().contains("hidden size"), "{told}");
}

#[test]
fn a_guess_has_the_size_that_was_asked_for() {
    for (total, active) in [(10e9, 10e9), (34e9, 34e9), (500e9, 500e9)] {
        let guess = ModelShape::like("unknown", total, active);
        near(guess.parameters(), total, 0.15);
        assert!(guess.experts.is_none());
    }
    assert!(ModelShape::like("mix", 100e9, 6e9).experts.is_some());
}
