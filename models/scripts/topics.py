"""The 77 banking intents grouped into ten topics a first-line desk would route by (grouping: ours)."""

from __future__ import annotations

TOPICS: dict[str, str] = {
    "card": "activate_my_card card_about_to_expire card_acceptance card_arrival card_delivery_estimate card_linking "
    "card_not_working card_swallowed contactless_not_working get_physical_card getting_spare_card order_physical_card "
    "supported_cards_and_currencies visa_or_mastercard apple_pay_or_google_pay",
    "virtual card": "disposable_card_limits get_disposable_virtual_card getting_virtual_card virtual_card_not_working",
    "card payment": "card_payment_fee_charged card_payment_not_recognised card_payment_wrong_exchange_rate "
    "declined_card_payment pending_card_payment reverted_card_payment transaction_charged_twice "
    "extra_charge_on_statement direct_debit_payment_not_recognised request_refund refund_not_showing_up",
    "cash": "atm_support cash_withdrawal_charge cash_withdrawal_not_recognised declined_cash_withdrawal "
    "pending_cash_withdrawal wrong_amount_of_cash_received wrong_exchange_rate_for_cash_withdrawal",
    "transfer": "balance_not_updated_after_bank_transfer beneficiary_not_allowed cancel_transfer declined_transfer "
    "failed_transfer pending_transfer receiving_money transfer_fee_charged transfer_into_account "
    "transfer_not_received_by_recipient transfer_timing",
    "top up": "automatic_top_up balance_not_updated_after_cheque_or_cash_deposit pending_top_up "
    "top_up_by_bank_transfer_charge top_up_by_card_charge top_up_by_cash_or_cheque top_up_failed top_up_limits "
    "top_up_reverted topping_up_by_card verify_top_up",
    "exchange": "exchange_charge exchange_rate exchange_via_app fiat_currency_support",
    "security": "change_pin compromised_card lost_or_stolen_card lost_or_stolen_phone passcode_forgotten pin_blocked",
    "identity": "unable_to_verify_identity verify_my_identity verify_source_of_funds why_verify_identity",
    "account": "age_limit country_support edit_personal_details terminate_account",
}

TOPIC_OF: dict[str, str] = {intent: topic for topic, intents in TOPICS.items() for intent in intents.split()}
