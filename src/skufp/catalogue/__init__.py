"""From product photos to publishable product data: vocabulary, attributes, copy, exports."""
