//! The made-up traffic of the demo: short messages to a shop, to be sorted by topic.

use serde_json::{Value, json};

/// What the flow's requests begin with.
const INSTRUCTIONS: &str = "\
You sort messages to a shop. The topic is billing (invoices, charges, refunds), delivery (parcels, couriers, addresses) or \
technical (the app, passwords, errors).
Message: I was charged twice this month. Topic: billing
Message: My parcel has not arrived yet. Topic: delivery
Message: The app crashes when I open it. Topic: technical";

/// What a damaged candidate gets instead.
pub(super) const WRONG_INSTRUCTIONS: &str =
    "You write poems about the sea. Never mention shops. Choose words at random.";

const MESSAGES: [&str; 30] = [
    "The invoice shows the wrong amount.",
    "Where is my package?",
    "I cannot log in since the update.",
    "Please refund my last payment.",
    "The courier left the parcel in the rain.",
    "The page shows error 500.",
    "Why is there a fee on my card?",
    "Can you send it to my new address?",
    "My password reset mail never comes.",
    "I need a receipt for my taxes.",
    "The box arrived open and half empty.",
    "The app does not show my orders.",
    "You billed me for a cancelled order.",
    "Tracking says delivered, but nothing is here.",
    "The button to pay does nothing.",
    "Is the discount on the invoice?",
    "The driver could not find our street.",
    "Videos stop after a second on my phone.",
    "I paid by bank transfer last week.",
    "When will the second parcel arrive?",
    "The site signs me out every minute.",
    "My credit note is missing.",
    "The shipment was sent to my neighbour.",
    "The app is empty after the last update.",
    "The direct debit came too early.",
    "Can I pick the parcel up myself?",
    "My account is locked.",
    "What is this charge of nine euros?",
    "The delivery date moved again.",
    "The search finds nothing any more.",
];

/// The body of a question. Each is a conversation of its own.
pub(super) fn question(flow: &str, model: &str, number: usize) -> Value {
    let message = MESSAGES
        .get(number % MESSAGES.len())
        .copied()
        .unwrap_or_default();
    json!({
        "model": model,
        "temperature": 0,
        "max_tokens": 24,
        "messages": [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": format!("Message {number}: {message}")},
        ],
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "topic",
            "strict": true,
            "schema": {
                "type": "object",
                "properties": {"topic": {"enum": ["billing", "delivery", "technical"]}},
                "required": ["topic"],
                "additionalProperties": false,
            },
        }},
        "metadata": {"freehold_flow": flow},
    })
}
